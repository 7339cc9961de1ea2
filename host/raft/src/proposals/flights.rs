//! The leader's batches that are proposed and not applied yet.

use std::collections::VecDeque;

use innkeeper_tree::Zxid;
use innkeeper_tree::footprint::InFlight;

use super::batch::Batch;
use crate::types::Proposal;

struct Flight {
    proposals: Vec<Proposal>,
    /// The bytes that the batch adds to the lag of the checkpoints.
    weight: u64,
    first_zxid: Zxid,
    /// How many of the proposals are in the footprints.
    indexed: usize,
}

impl Flight {
    fn last_zxid(&self) -> u64 {
        self.first_zxid.0 + self.proposals.len() as u64 - 1
    }
}

/// The batches in flight, in order.
///
/// Invariant: the zxids of their commands follow each other, and the first one follows the last
/// applied one.
pub(super) struct Flights {
    flights: VecDeque<Flight>,
    /// The footprints of the proposals in flight. They are updated only when a transaction needs
    /// them.
    pub(super) footprints: InFlight,
}

impl Flights {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            flights: VecDeque::new(),
            footprints: InFlight::new(seed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.flights.len()
    }

    /// The bytes in flight, counted as for the lag of the checkpoints.
    pub(super) fn weight(&self) -> u64 {
        self.flights.iter().map(|flight| flight.weight).sum()
    }

    /// The zxid of the next command, if the last applied one is `applied`.
    pub(super) fn next_zxid(&self, applied: Zxid) -> Zxid {
        match self.flights.back() {
            Some(last) => Zxid(last.last_zxid() + 1),
            None => applied.next(),
        }
    }

    /// Notes a batch that was proposed; it is not empty.
    pub(super) fn push(
        &mut self,
        proposals: Vec<Proposal>,
        weight: u64,
        first_zxid: Zxid,
        indexed: usize,
    ) {
        self.flights.push_back(Flight {
            proposals,
            weight,
            first_zxid,
            indexed,
        });
    }

    /// Takes out the batch that was noted last, because it was not appended.
    pub(super) fn take_back(&mut self) -> Vec<Proposal> {
        let last = self.flights.pop_back();
        // The footprints may name its commands. They are made anew when they are needed.
        self.footprints.clear();
        for flight in &mut self.flights {
            flight.indexed = 0;
        }
        last.map(|flight| flight.proposals).unwrap_or_default()
    }

    /// Takes out the batches that are applied.
    pub(super) fn landed(&mut self, applied: Zxid) {
        while self
            .flights
            .pop_front_if(|flight| flight.last_zxid() <= applied.0)
            .is_some()
        {}
        if self.flights.is_empty() {
            self.footprints.clear();
        } else {
            self.footprints.applied(applied);
        }
    }

    /// Forgets everything: the term is over.
    pub(super) fn clear(&mut self) {
        self.flights.clear();
        self.footprints.clear();
    }

    /// Brings the footprints up to date with everything in flight and in the batch so far.
    pub(super) fn index(&mut self, batch: &mut Batch, published: Zxid) {
        let footprints = &mut self.footprints;
        for flight in &mut self.flights {
            let from = flight.indexed;
            for (place, proposal) in flight.proposals.iter().enumerate().skip(from) {
                let zxid = Zxid(flight.first_zxid.0 + place as u64);
                // An applied operation is in the view that the next guest reads.
                if zxid > published {
                    footprints.admit(zxid, &proposal.command().operation);
                }
            }
            flight.indexed = flight.proposals.len();
        }
        for (place, command) in batch.commands.iter().enumerate().skip(batch.indexed) {
            let zxid = Zxid(batch.first_zxid.0 + place as u64);
            footprints.admit(zxid, &command.operation);
        }
        batch.indexed = batch.commands.len();
    }
}
