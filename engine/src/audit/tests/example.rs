//! The export in `tests/vectors` that an engine made: what it says stays true, and stays readable.

use super::*;

#[test]
fn the_example_export_agrees_and_holds_what_its_vector_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("example.tallyexp");
    std::fs::write(&path, include_bytes!("../../../../tests/vectors/example.tallyexp")).unwrap();
    let receipt = include_str!("../../../../tests/vectors/example-receipt.json");
    let Document::Receipt(receipt) = check_document(receipt, &Trust::default()).unwrap().document
    else {
        panic!("it is a receipt")
    };
    let said: serde_json::Value =
        serde_json::from_str(include_str!("../../../../tests/vectors/example.json")).unwrap();
    let receipts = [*receipt];
    let settings = Settings {
        threads: 1,
        first_key: None,
        operator_keys: &[],
        receipts: &receipts,
        own_keys_since: None,
        progress: &|_| {},
    };
    let report = audit(&Files::open(&[path]).unwrap(), settings);
    assert!(report.ok, "{:?}", report.first_difference);
    let found = serde_json::to_value(&report).unwrap();
    let audit = said["audit"].as_object().unwrap();
    assert_eq!(audit.len(), 18);
    for (name, wanted) in audit {
        assert_eq!(found[name], *wanted, "{name}");
    }
}
