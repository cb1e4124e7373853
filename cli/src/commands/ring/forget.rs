//! `larder ring forget`

use crate::commands::cluster::{ClusterArgs, block_on, chain};
use crate::commands::documents::{Documents, name_of, place_of};
use crate::exit::Outcome;
use clap::error::ErrorKind;
use clap::{Args, Command};
use futures_util::future::join_all;
use larder_client::Error;
use larder_ring::{Phase, RingDocument};
use std::io::{self, Write};

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Forget {
    #[command(flatten)]
    cluster: ClusterArgs,
    /// Really do it.
    #[arg(long)]
    yes: bool,
}

impl Forget {
    /// Removes it from every node that answers; one that does not keeps no other back.
    pub(crate) fn run(self) -> anyhow::Result<Outcome> {
        if !self.yes {
            let mut command = Self::augment_args(Command::new("larder ring forget"));
            command.error(ErrorKind::MissingRequiredArgument, WITHOUT_YES).exit();
        }
        let cluster = self.cluster.cluster()?;
        let (documents, forgotten) = block_on(async {
            let documents = Documents::ask(&cluster).await?;
            let forgotten =
                join_all(documents.nodes.iter().map(|holder| holder.node.forget_document())).await;
            Ok((documents, forgotten))
        })?;
        let has_faults = forgotten.iter().any(Result::is_err);
        let mut out = io::stdout().lock();
        for (holder, forgotten) in documents.nodes.iter().zip(forgotten) {
            writeln!(out, "{}  {}", place_of(&holder.id), outcome_of(forgotten))?;
        }
        writeln!(out, "{}", consequence_of(documents.in_force()))?;
        if has_faults {
            writeln!(out, "{AFTER_FAULTS}")?;
        }
        out.flush()?;
        Ok(if has_faults { Outcome::Faults } else { Outcome::Done })
    }
}

fn outcome_of(forgotten: Result<bool, Error>) -> String {
    match forgotten {
        Ok(true) => "taken off".to_owned(),
        Ok(false) => "had none".to_owned(),
        Err(error) => format!("error: {}", chain(error)),
    }
}

fn consequence_of(document: Option<&RingDocument>) -> String {
    let Some(RingDocument { epoch, phase, .. }) = document else {
        return "There was no ring document: all environments go by discovery, but for those that have known one.".to_owned();
    };
    let (epoch, phase) = (epoch.number(), *phase);
    let mut text = format!(
        "Epoch {epoch} is forgotten. Environments that start from now on go by discovery; those that run go by epoch \
         {epoch} until they are gone, or until another document is published, as by the next run of ring-refresh."
    );
    if phase != Phase::Active {
        text += &format!(
            " The ring was {}: until then some go by one ring and some by the other, and old values may be read.",
            name_of(phase)
        );
    }
    text
}

const WITHOUT_YES: &str = "\
this takes the ring document off every node of the cluster. Environments that start afterwards go by discovery; those that \
run keep the ring that they know until they are gone. Where the two differ, old values may be read. If that is what you \
want, say --yes";

const AFTER_FAULTS: &str = "\
Not all nodes could be asked. What they hold is found again when they answer: run this again then.";

const EXAMPLES: &str = "\
The next run of ring-refresh publishes a ring document again: switch its schedule and its topic off first, if there is to \
be none.

Example:
  larder ring forget --config-endpoint 127.0.0.1:11211 --yes";
