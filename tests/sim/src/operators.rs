//! Operators' keys of their own: the secrets, who signs what with them, and how keys come and go.
//! What a signature must be is the model's to say.

use crate::clients::{OPERATORS, by};
use crate::dice::Dice;
use crate::model::State;
use ed25519_dalek::{Signer as _, SigningKey};
use tallystick::ledger::{Command, OperatorSignature, Request, SaidOfLeg, Wish};
use tallystick::types::{
    FileHasher, LegSaid, NetworkId, SignerKey, Statement, approval_statement,
    confirmation_statement, operator_key_statement, operator_removal_statement, words_statement,
};

/// More keys than a run sets; the engine's own, and those of agents, are others.
const KEYS: u8 = 12;

/// The secrets of all operators.
pub struct Operators {
    network: NetworkId,
    keys: Vec<(SignerKey, SigningKey)>,
}

impl Operators {
    /// The same in every run.
    #[must_use]
    pub fn new(network: NetworkId) -> Self {
        let key = |number: u8| {
            let secret = SigningKey::from_bytes(blake3::hash(&[number]).as_bytes());
            (SignerKey(secret.verifying_key().to_bytes()), secret)
        };
        Self { network, keys: (0..KEYS).map(key).collect() }
    }

    fn sign(&self, key: SignerKey, over: Statement) -> OperatorSignature {
        let held = self.keys.iter().find(|(held, _)| *held == key);
        let (_, secret) = held.expect("an operator's key is one of these");
        OperatorSignature::checked(over, key, secret.sign(over.bytes()).to_bytes())
    }

    /// Signs what an operator approves or says, if they have a key now and nothing is signed yet.
    pub fn signs(&self, command: &mut Command, state: &State) {
        let Some(key) = state.own.get(command.envelope.operator()).copied() else { return };
        let network = self.network;
        let wish = &mut command.wish;
        let (over, signed) = if let Wish::ApproveBatch { batch, signed } = wish {
            (approval_statement(network, *batch), signed)
        } else if let Wish::ConfirmProposal { proposal, signed } = wish {
            (confirmation_statement(network, *proposal), signed)
        } else if let Wish::ReportLegs { content, evidence, words, signed } = wish {
            let words = words.iter().map(SaidOfLeg::signed);
            (words_statement(network, content.head.id, *evidence, words), signed)
        } else if let Wish::ResolveLeg { content, leg, word, reference, evidence, signed } = wish {
            let state = word.state().number();
            let word = LegSaid { leg: *leg, state, reference, reason: evidence };
            let rests_on = FileHasher::of(evidence.as_bytes());
            (words_statement(network, content.head.id, rests_on, [word]), signed)
        } else {
            return;
        };
        if signed.is_none() {
            *signed = Some(self.sign(key, over));
        }
    }

    /// An operator sets a key: mostly one of their own that is new, sometimes one that was used.
    pub fn set(&self, request: Request, dice: &mut Dice, state: &State) -> Command {
        let operator = *dice.pick(&OPERATORS);
        let (key, _) = dice.pick(&self.keys);
        let before = state.own.get(operator).copied();
        // Now and then they mean another one before it, or do not sign with it.
        let named = if dice.percent(5) { None } else { before };
        let over = operator_key_statement(self.network, operator, *key, named);
        let signed = before.filter(|_| dice.percent(90)).map(|before| self.sign(before, over));
        let possession = Box::new(self.sign(*key, over));
        Wish::SetOperatorKey { possession, signed }.by(by(operator), request)
    }

    /// Somebody takes the key of an operator away.
    pub fn remove(&self, request: Request, dice: &mut Dice, state: &State) -> Command {
        let (caller, whose) = (*dice.pick(&OPERATORS), *dice.pick(&OPERATORS[..2]));
        let key = state.own.get(whose).copied().unwrap_or(self.keys[0].0);
        let over = operator_removal_statement(self.network, whose, key);
        let own = state.own.get(caller).filter(|_| dice.percent(90));
        let (operator, signed) = (whose.to_owned(), own.map(|own| self.sign(*own, over)));
        Wish::RemoveOperatorKey { operator, key, signed }.by(by(caller), request)
    }
}
