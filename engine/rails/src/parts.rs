//! Parts of a batch: the legs that go into one file, as a batch of their own.
//!
//! Owns how legs are split into files, their names and how many a file takes. The same legs give the same
//! file.

use super::{iso20022, nacha, short_id, table};
use std::io::{self, Write};
use std::sync::Arc;
use tallystick_ledger::limits::FILE_LEGS_MAX;
use tallystick_ledger::types::{PartyId, Total};
use tallystick_ledger::{Account, BatchContent, BatchHead, Rail};

/// How the name of a list of pay-ins ends: it is for whoever asks them to pay, never for the rail.
pub const PAY_INS_ENDING: &str = ".pay-ins.csv";

/// The legs of one file.
pub struct Part {
    content: BatchContent,
    number: u32,
}

/// Splits legs (their places, ascending: all of them pay-ins, or none) into what each file takes.
#[must_use]
pub fn split(content: &BatchContent, legs: &[u32]) -> Vec<Vec<u32>> {
    let chunks = legs.chunks(FILE_LEGS_MAX).map(<[u32]>::to_vec);
    match content.head.policy.rail {
        Rail::Iso20022 | Rail::Card | Rail::Evm => chunks.collect(),
        Rail::Nacha => chunks
            .flat_map(|legs| {
                let sub = only(content, &legs);
                let files = nacha::files_again(&sub, 0).expect("these legs fit a few files");
                let of = |file: &nacha::FilePart| legs[file.legs().clone()].to_vec();
                files.iter().map(of).collect::<Vec<_>>()
            })
            .collect(),
    }
}

impl Part {
    /// Of these legs (their places, ascending: all of them pay-ins, or none), as the how-manieth
    /// submission of the batch, from 0.
    #[must_use]
    pub fn new(content: &BatchContent, legs: &[u32], number: u32) -> Self {
        Self { content: only(content, legs), number }
    }

    /// The same, with the names and accounts of those who pay in, as far as `known` has them: a batch holds
    /// none, for a payer needs no account on a rail that cannot collect.
    #[must_use]
    pub fn naming(mut self, known: impl Fn(PartyId) -> Option<Account>) -> Self {
        if !self.is_list() {
            return self;
        }
        let mut accounts = (*self.content.accounts).clone();
        for leg in &self.content.legs {
            let payer = leg.payment.from;
            if let Some(account) = known(payer) {
                accounts.entry(payer).or_insert(account);
            }
        }
        self.content.accounts = Arc::new(accounts);
        self
    }

    /// Whether its file is a list of pay-ins.
    #[must_use]
    pub fn is_list(&self) -> bool {
        match self.content.head.policy.rail {
            // A credit transfer, and a payment on a chain, cannot collect.
            Rail::Iso20022 | Rail::Evm => self.is_pay_in(),
            Rail::Nacha | Rail::Card => false,
        }
    }

    /// The legs as a batch of their own, with the batch's id.
    #[must_use]
    pub fn content(&self) -> &BatchContent {
        &self.content
    }

    /// The how-manieth submission of its batch it is, from 0.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    fn is_pay_in(&self) -> bool {
        self.content.head.pay_in_count > 0
    }

    /// The name of its file; no other part of any batch has it.
    #[must_use]
    pub fn file_name(&self) -> String {
        let (short, number) = (short_id(&self.content), self.number);
        match (self.content.head.policy.rail, self.is_pay_in()) {
            // A credit transfer cannot collect: the file is for whoever asks the debtors to pay.
            (Rail::Iso20022 | Rail::Evm, true) => format!("{short}.{number}{PAY_INS_ENDING}"),
            (Rail::Iso20022, false) => format!("{short}.{number}.pain.001.xml"),
            (Rail::Nacha, _) => format!("{short}.{number}.ach"),
            (Rail::Card, _) | (Rail::Evm, false) => panic!("this rail is called, not sent files"),
        }
    }

    /// Writes its file.
    ///
    /// # Errors
    /// What `out` fails with.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let content = &self.content;
        match (content.head.policy.rail, self.is_pay_in()) {
            (Rail::Iso20022 | Rail::Evm, true) => {
                let amounts = super::amounts(content);
                table::csv(content, &*amounts, out)
            }
            (Rail::Iso20022, false) => iso20022::render(content, self.number, out),
            (Rail::Nacha, _) => {
                let earlier = usize::try_from(self.number).expect("a number fits usize");
                let files = nacha::files_again(content, earlier).map_err(io::Error::other)?;
                nacha::render(content, &files[0], out)
            }
            (Rail::Card, _) | (Rail::Evm, false) => panic!("this rail is called, not sent files"),
        }
    }
}

/// These legs as a batch of their own.
fn only(content: &BatchContent, legs: &[u32]) -> BatchContent {
    let legs: Vec<_> = legs.iter().map(|leg| content.legs[*leg as usize].clone()).collect();
    let sum = |pay_ins: bool| {
        let own = legs.iter().filter(|leg| leg.payment.is_pay_in() == pay_ins);
        own.fold(Total::ZERO, |sum, leg| sum.plus(leg.payment.amount))
    };
    let count = |n: usize| u64::try_from(n).expect("a length fits 64 bits");
    let of = &content.head;
    // What the whole batch carries and what deposits pay is no part's, and may be as long as the batch.
    let head = BatchHead {
        id: of.id,
        windows: of.windows.clone(),
        cut_at: of.cut_at,
        asset: of.asset.clone(),
        policy: of.policy.clone(),
        leg_count: count(legs.len()),
        pay_in_count: count(legs.iter().filter(|leg| leg.payment.is_pay_in()).count()),
        pay_in_total: sum(true),
        total: sum(false),
        carried: Total::ZERO,
        carries: Vec::new(),
        prefunded: Vec::new(),
    };
    BatchContent { head: Arc::new(head), legs, accounts: Arc::clone(&content.accounts) }
}
