//! Receipts that were signed at once: each is checked alone, and is good for its own voucher only.

use super::made::{Change, EUR, Made, NETWORK, voucher};
use super::*;
use crate::proof::{RECEIPT_FORMAT, RECEIPT_FORMAT_1, Receipt, write_path};
use crate::types::{Lsn, PathTree, Timestamp, receipt_leaf, receipt_statement, receipts_statement};

const AT: Timestamp = Timestamp(7);

/// As the engine makes them: so many at once.
fn receipts(made: &Made, count: u64) -> Vec<Receipt> {
    let vouchers: Vec<_> = (0..count).map(|lane| voucher(1, 2, EUR, lane, 0, 5).voucher).collect();
    let mut tree = PathTree::default();
    vouchers.iter().for_each(|voucher| tree.push(&receipt_leaf(voucher, Lsn(3), AT), true));
    let (root, paths) = tree.finish();
    let signed = made.engine_key.sign(&receipts_statement(NETWORK, root));
    let receipt = |(voucher, path)| Receipt {
        format: RECEIPT_FORMAT.to_owned(),
        network_id: Hex(NETWORK.0),
        engine_key: Hex(signed.key.0),
        voucher: Hex(voucher),
        lsn: 3,
        at_us: AT.0,
        path: Some(write_path(path)),
        bundle_path: None,
        signature: Hex(signed.signature),
    };
    vouchers.into_iter().zip(&paths).map(receipt).collect()
}

fn check(receipt: &Receipt) -> Result<usize, String> {
    let text = Document::Receipt(Box::new(receipt.clone())).text();
    check_document(&text, &Trust::default()).map(|checked| checked.signatures)
}

#[test]
fn each_of_many_is_checked_alone() {
    let made = Made::new(Change::default());
    for count in [1, 2, 3, 7, 64] {
        for receipt in receipts(&made, count) {
            assert_eq!(check(&receipt), Ok(1), "{receipt:?}");
        }
    }
}

#[test]
fn none_is_good_for_another_voucher_record_or_time() {
    let made = Made::new(Change::default());
    let all = receipts(&made, 5);
    let changes: [fn(&mut Receipt); 5] = [
        |receipt| receipt.voucher = Hex(voucher(1, 2, EUR, 3, 0, 5).voucher),
        |receipt| receipt.lsn += 1,
        |receipt| receipt.at_us += 1,
        |receipt| receipt.path.as_mut().unwrap().truncate(1),
        |receipt| receipt.path.as_mut().unwrap().swap(0, 1),
    ];
    for change in changes {
        let mut receipt = all[1].clone();
        change(&mut receipt);
        assert!(check(&receipt).unwrap_err().contains("did not sign"), "{receipt:?}");
    }
}

/// Facilitators keep what they were given.
#[test]
fn receipts_of_before_are_still_good_and_have_no_path() {
    let made = Made::new(Change::default());
    let mut old = receipts(&made, 1).remove(0);
    (old.format, old.path) = (RECEIPT_FORMAT_1.to_owned(), None);
    assert!(check(&old).unwrap_err().contains("did not sign"));
    let statement = receipt_statement(NETWORK, &old.voucher.0, Lsn(old.lsn), AT);
    old.signature = Hex(made.engine_key.sign(&statement).signature);
    assert_eq!(check(&old), Ok(1));
    old.path = Some(Vec::new());
    assert!(check(&old).unwrap_err().contains("has no path"));
    (old.format, old.path) = (RECEIPT_FORMAT.to_owned(), None);
    assert!(check(&old).unwrap_err().contains("has a path"));
}
