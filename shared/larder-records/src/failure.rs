//! Why records could not be loaded, as the cache has to know it.

use larder_cache::LoadFault;
use larder_origin::OriginError;

/// Why the origin gave no records or no list. What only one environment fails at is not remembered for the others.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct LoadFailure(#[from] pub OriginError);

impl LoadFault for LoadFailure {
    fn is_outage(&self) -> bool {
        self.0.is_outage()
    }
}
