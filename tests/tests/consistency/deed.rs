//! What an environment does next, by chance.

use fastrand::Rng;

/// One step of an environment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Deed {
    Read,
    ReadMany,
    ReadAtLeast,
    /// A row that nobody writes.
    ReadQuiet,
    ReadList,
    /// A read that its caller gives up in the middle.
    ReadDropped,
    WriteThrough,
    WriteAndForget,
    Delete,
    /// A write that is intended, and not made.
    GiveUp,
    /// A write that the cache is never told of.
    DieInBetween,
    Forget,
    ForgetTag,
    RefreshLists,
    ChangeList,
    /// The environment ends, and a cold one takes its place.
    BeginAnew,
}

impl Deed {
    /// Draws the next one.
    pub(crate) fn draw(random: &mut Rng) -> Self {
        let mut left = random.u32(..Self::SHARES.iter().map(|(share, _)| *share).sum::<u32>());
        for (share, deed) in Self::SHARES {
            match left.checked_sub(share) {
                None => return deed,
                Some(rest) => left = rest,
            }
        }
        Self::Read
    }

    /// How often each is drawn, of a thousand.
    const SHARES: [(u32, Self); 16] = [
        (440, Self::Read),
        (90, Self::ReadMany),
        (60, Self::ReadAtLeast),
        (30, Self::ReadQuiet),
        (30, Self::ReadList),
        (29, Self::ReadDropped),
        (120, Self::WriteThrough),
        (70, Self::WriteAndForget),
        (30, Self::Delete),
        (20, Self::GiveUp),
        (20, Self::DieInBetween),
        (20, Self::Forget),
        (10, Self::ForgetTag),
        (10, Self::RefreshLists),
        (20, Self::ChangeList),
        (1, Self::BeginAnew),
    ];
}
