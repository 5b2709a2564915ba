//! For tests alone: batches as a rail is shown them, under ids that follow from what is shown: the
//! golden files, and the answers of an independent bank to them, have those ids.

use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick_ledger::types::{AssetDef, BatchHasher, BatchId, LegKeys, PartyId, Total};
use tallystick_ledger::{
    Account, BatchContent, BatchHead, Leg, OpenBatch, Policy, Refusal, SealedAccount, SealedText,
    SealedWindow,
};

/// The batch that settles these windows, with these accounts.
pub fn compute(
    windows: &[Arc<SealedWindow>],
    asset: &AssetDef,
    policy: &Policy,
    account: impl Fn(PartyId) -> Option<Account>,
    prefund: impl Fn(PartyId) -> Total,
) -> Result<OpenBatch, Refusal> {
    let sealed = |party| {
        let nothing = || SealedText::new(Vec::new());
        account(party).map(|_| SealedAccount { name: nothing(), fields: nothing() })
    };
    let content = BatchContent::compute(windows, asset, policy, sealed, prefund)?;
    let open = |party: &PartyId| (*party, account(*party).expect("it was there before"));
    let accounts: BTreeMap<PartyId, Account> = content.accounts.keys().map(open).collect();
    let id = shown_id(windows, &content, &accounts);
    let keys = LegKeys::new(id);
    let leg = |Leg { payment, .. }: &Leg| Leg {
        key: keys.key(payment.from, payment.to, payment.part),
        payment: *payment,
    };
    let legs = Arc::new(content.legs.iter().map(leg).collect());
    let head = Arc::new(BatchHead { id, ..(*content.head).clone() });
    Ok(OpenBatch { head, legs, accounts: Arc::new(accounts) })
}

/// As the ledger makes an id, but over names and fields in plain text.
fn shown_id(
    windows: &[Arc<SealedWindow>],
    content: &BatchContent,
    accounts: &BTreeMap<PartyId, Account>,
) -> BatchId {
    let BatchHead { asset, policy, carries, prefunded, .. } = &*content.head;
    let (mut hasher, count) = (BatchHasher::default(), |n: usize| u64::try_from(n).unwrap());
    hasher.number(count(windows.len()));
    for window in windows {
        hasher.number(window.number.0);
        hasher.fixed(&window.root.0);
    }
    hasher.number(u64::from(asset.number.0));
    hasher.text(&asset.code);
    hasher.number(u64::from(asset.scale));
    hasher.number(asset.model as u64);
    hasher.text(policy.rail.name());
    for sum in [policy.unit, policy.least, policy.most] {
        hasher.fixed(&sum.0.to_le_bytes());
    }
    let fields = |hasher: &mut BatchHasher, fields: &[(String, String)]| {
        hasher.number(count(fields.len()));
        for (name, value) in fields {
            hasher.text(name);
            hasher.text(value);
        }
    };
    fields(&mut hasher, &policy.clearing);
    hasher.number(count(content.legs.len()));
    for Leg { payment, .. } in content.legs.iter() {
        hasher.fixed(&payment.from.0);
        hasher.fixed(&payment.to.0);
        hasher.fixed(&payment.amount.0.to_le_bytes());
    }
    hasher.number(count(carries.len()));
    for carry in carries {
        hasher.fixed(&carry.payer.0);
        hasher.fixed(&carry.payee.0);
        hasher.fixed(&carry.amount.0.to_le_bytes());
    }
    hasher.number(count(accounts.len()));
    for (party, account) in accounts {
        hasher.fixed(&party.0);
        hasher.text(&account.name);
        fields(&mut hasher, &account.fields);
    }
    if !prefunded.is_empty() {
        hasher.number(count(prefunded.len()));
        for (party, amount) in prefunded {
            hasher.fixed(&party.0);
            hasher.fixed(&amount.0.to_le_bytes());
        }
    }
    hasher.finish()
}
