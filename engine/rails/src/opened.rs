//! For tests alone: batches as a rail is shown them, under ids that follow from what is shown: the
//! golden files, and the answers of an independent bank to them, have those ids.

use std::collections::BTreeMap;
use std::sync::Arc;
use tallystick_ledger::types::{AssetDef, LegKeys, PartyId, Total};
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
    let payments = content.legs.iter().map(|leg| &leg.payment);
    // As the ledger makes an id, but over names and fields in plain text.
    let id = content.head.id_over(windows, payments, &accounts, |hasher, account| {
        hasher.text(&account.name);
        hasher.fields(&account.fields);
    });
    let keys = LegKeys::new(id);
    let leg = |Leg { payment, .. }: &Leg| Leg {
        key: keys.key(payment.from, payment.to, payment.part),
        payment: *payment,
    };
    let legs = Arc::new(content.legs.iter().map(leg).collect());
    let head = Arc::new(BatchHead { id, ..(*content.head).clone() });
    Ok(OpenBatch { head, legs, accounts: Arc::new(accounts) })
}
