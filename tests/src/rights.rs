//! The table of rights, as docs/ACCESS.md shows it.

use crate::wire::Role;

/// The roles that an identity can have, in the table's order.
pub const ROLES: [(&str, Role); 5] = [
    ("facilitator", Role::Facilitator),
    ("party", Role::Party),
    ("operator", Role::Operator),
    ("approver", Role::Approver),
    ("auditor", Role::Auditor),
];

/// Each call, and what each role may do of it: `yes`, `own` or `-`.
///
/// # Panics
/// When the document has no such table.
#[must_use]
pub fn table() -> Vec<(String, [String; 5])> {
    let document = include_str!("../../docs/ACCESS.md");
    let rows = document.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect());
    let cells = cells.filter(|cells: &Vec<String>| cells.len() == 8);
    let row = |cells: Vec<String>| {
        let call = cells[1].trim_matches('`').to_owned();
        (call, std::array::from_fn(|place| cells[2 + place].clone()))
    };
    let table: Vec<_> = cells.map(row).collect();
    assert!(table.len() > 50, "{table:?}");
    table
}

/// Where a call is.
#[must_use]
pub fn path(call: &str) -> String {
    let of_vouchers = ["Stream", "Submit", "GetChannel", "GetReceipt", "GetHeadroom", "GetNetwork"];
    let service = if of_vouchers.contains(&call) { "Vouchers" } else { "Operator" };
    format!("/tallystick.v1.{service}/{call}")
}
