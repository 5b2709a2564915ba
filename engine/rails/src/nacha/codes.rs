//! Reason codes of returns (R) and of notifications of change (C), in words.
//!
//! Owns the tables. An unknown code is no error: the money came back all the same.

/// What kind of message an R code makes of an addenda record 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnKind {
    /// The receiving bank (or the operator, or a gateway) sends the entry back.
    Return,
    /// The originating bank does not accept a return.
    Dishonored,
    /// The receiving bank insists on a return that was dishonored.
    Contested,
}

/// The number of a code: a letter and two digits.
pub fn number(letter: char, code: &str) -> Option<u8> {
    let digits = code.strip_prefix(letter)?;
    let formed = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_digit());
    formed.then(|| digits.parse().ok()).flatten()
}

/// Which kind of return it is.
pub fn return_kind(number: u8) -> ReturnKind {
    match number {
        61..=70 => ReturnKind::Dishonored,
        71..=79 => ReturnKind::Contested,
        _ => ReturnKind::Return,
    }
}

/// Whether a C code refuses a notification of change, instead of being one.
pub fn is_refusal(number: u8) -> bool {
    (61..=69).contains(&number)
}

/// What an R code says.
pub fn return_text(number: u8) -> &'static str {
    text(&RETURNS, number)
}

/// What a C code says.
pub fn change_text(number: u8) -> &'static str {
    text(&CHANGES, number)
}

fn text(table: &[(u8, &'static str)], number: u8) -> &'static str {
    let found = table.binary_search_by_key(&number, |(code, _)| *code);
    found.map_or("unknown reason code", |place| table[place].1)
}

/// Nacha Operating Rules, Appendix Four, part 4.2.
const RETURNS: [(u8, &str); 70] = [
    (1, "insufficient funds"),
    (2, "account closed"),
    (3, "no account, or unable to locate it"),
    (4, "invalid account number"),
    (5, "unauthorized corporate debit to a consumer account"),
    (6, "returned at the originating bank's request"),
    (7, "authorization revoked by the customer"),
    (8, "payment stopped"),
    (9, "uncollected funds"),
    (10, "originator unknown to the customer, or not authorized by it"),
    (11, "entry not in accordance with the authorization"),
    (12, "account sold to another bank"),
    (13, "invalid routing number"),
    (14, "representative payee deceased or unable to continue"),
    (15, "beneficiary or account holder deceased"),
    (16, "account frozen, or returned on an instruction of OFAC"),
    (17, "record cannot be processed, or questionable circumstances"),
    (18, "improper effective entry date"),
    (19, "amount field error"),
    (20, "not a transaction account"),
    (21, "invalid company identification"),
    (22, "invalid individual identification number"),
    (23, "credit refused by the receiver"),
    (24, "duplicate entry"),
    (25, "addenda error"),
    (26, "mandatory field error"),
    (27, "trace number error"),
    (28, "routing number check digit error"),
    (29, "corporate customer advises not authorized"),
    (30, "bank not in the check truncation program"),
    (31, "permissible return, agreed by the originating bank"),
    (32, "bank not able to settle"),
    (33, "return of a destroyed check entry"),
    (34, "limited participation of the bank"),
    (35, "improper debit entry"),
    (36, "improper credit entry"),
    (37, "source document presented for payment"),
    (38, "stop payment on the source document"),
    (39, "improper source document, or presented for payment"),
    (40, "enrollment returned by the federal agency"),
    (41, "invalid transaction code"),
    (42, "routing number or check digit error"),
    (43, "invalid account number"),
    (44, "invalid identification number"),
    (45, "invalid name"),
    (46, "invalid representative payee indicator"),
    (47, "duplicate enrollment"),
    (50, "state law affects acceptance of represented checks"),
    (51, "represented check entry ineligible or improper"),
    (52, "stop payment on the item"),
    (53, "item and represented check entry both presented"),
    (61, "misrouted return"),
    (62, "return of an erroneous or reversing debit"),
    (67, "duplicate return"),
    (68, "untimely return"),
    (69, "field errors in the return"),
    (70, "permissible return not accepted, or return not requested"),
    (71, "misrouted dishonored return"),
    (72, "untimely dishonored return"),
    (73, "the original return was timely"),
    (74, "corrected return"),
    (75, "the return was not a duplicate"),
    (76, "no errors found in the return"),
    (77, "dishonored return R62 not accepted"),
    (80, "international entry coding error"),
    (81, "bank not in the international program"),
    (82, "invalid foreign bank identification"),
    (83, "foreign bank unable to settle"),
    (84, "entry not processed by the gateway"),
    (85, "incorrectly coded outbound international payment"),
];

/// Nacha Operating Rules, Appendix Five.
const CHANGES: [(u8, &str); 22] = [
    (1, "incorrect account number"),
    (2, "incorrect routing number"),
    (3, "incorrect routing number and account number"),
    (4, "incorrect name"),
    (5, "incorrect transaction code"),
    (6, "incorrect account number and transaction code"),
    (7, "incorrect routing number, account number and transaction code"),
    (8, "incorrect foreign bank identification"),
    (9, "incorrect individual identification number"),
    (10, "incorrect company name"),
    (11, "incorrect company identification"),
    (12, "incorrect company name and company identification"),
    (13, "addenda format error"),
    (61, "misrouted notification of change"),
    (62, "incorrect trace number"),
    (63, "incorrect company identification"),
    (64, "incorrect identification number"),
    (65, "incorrectly formatted corrected data"),
    (66, "incorrect discretionary data"),
    (67, "routing number not from the original entry"),
    (68, "account number not from the original entry"),
    (69, "incorrect transaction code"),
];

/// What a notification of change puts in place of an account's fields: the same names and values as
/// an account is registered with. Empty if it is about something else or cannot be read: banks put
/// blanks where the rules have none.
pub fn corrected_fields(number: u8, data: &str) -> Vec<(&'static str, String)> {
    let data = data.trim();
    let fields = match number {
        1 => vec![account(data)],
        2 => vec![routing(data)],
        3 => data
            .split_once(' ')
            .map_or_else(Vec::new, |(bank, number)| vec![account(number), routing(bank)]),
        5 => vec![kind(data)],
        6 => data
            .rsplit_once(' ')
            .map_or_else(Vec::new, |(number, code)| vec![account(number), kind(code)]),
        // Routing number, account number and code stand side by side.
        7 => match (data.get(..9), data.len().checked_sub(2)) {
            (Some(bank), Some(code)) if code > 9 && data.is_char_boundary(code) => {
                vec![account(&data[9..code]), routing(bank), kind(&data[code..])]
            }
            (_, _) => Vec::new(),
        },
        _ => Vec::new(),
    };
    let whole: Option<Vec<_>> = fields.into_iter().collect();
    whole.unwrap_or_default()
}

fn account(text: &str) -> Option<(&'static str, String)> {
    let number: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    (!number.is_empty()).then_some(("account", number))
}

fn routing(text: &str) -> Option<(&'static str, String)> {
    let formed = text.len() == 9 && text.bytes().all(|b| b.is_ascii_digit());
    formed.then(|| ("routing", text.to_owned()))
}

/// A transaction code, which tells the type of the account.
fn kind(text: &str) -> Option<(&'static str, String)> {
    let kind = match text.as_bytes() {
        [b'2', b'0'..=b'9'] => "checking",
        [b'3', b'0'..=b'9'] => "savings",
        [..] => return None,
    };
    Some(("type", kind.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_a_letter_and_two_digits() {
        assert_eq!((number('R', "R01"), number('C', "C69")), (Some(1), Some(69)));
        for bad in ["", "R", "R1", "R1x", "R+1", "R001", "C01", "r01", "R١"] {
            assert_eq!(number('R', bad), None, "{bad}");
        }
    }

    #[test]
    fn every_code_has_one_text_and_unknown_ones_too() {
        for table in [&RETURNS[..], &CHANGES] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
        assert_eq!(return_text(1), "insufficient funds");
        assert_eq!(return_text(85), "incorrectly coded outbound international payment");
        assert_eq!(return_text(48), "unknown reason code");
        assert_eq!(change_text(2), "incorrect routing number");
        assert_eq!(change_text(0), "unknown reason code");
    }

    #[test]
    fn corrected_data_becomes_the_fields_of_an_account() {
        let field = |name, value: &str| (name, value.to_owned());
        for (number, data, fields) in [
            (1, "1918171614                   ", vec![field("account", "1918171614")]),
            (2, "021000021", vec![field("routing", "021000021")]),
            (
                3,
                "021000021   12-345           ",
                vec![field("account", "12-345"), field("routing", "021000021")],
            ),
            (5, "37", vec![field("type", "savings")]),
            (
                6,
                "12-345              22",
                vec![field("account", "12-345"), field("type", "checking")],
            ),
            (
                7,
                "02100002112-345           32",
                vec![
                    field("account", "12-345"),
                    field("routing", "021000021"),
                    field("type", "savings"),
                ],
            ),
            (
                7,
                "0210000211234567890123456722",
                vec![
                    field("account", "12345678901234567"),
                    field("routing", "021000021"),
                    field("type", "checking"),
                ],
            ),
            // Seen in the wild: a blank in the number, and the code in another place.
            (
                6,
                "123456789 111            22",
                vec![field("account", "123456789111"), field("type", "checking")],
            ),
            (4, "SOMEBODY ELSE", vec![]),
            (2, "SOMEWHERE", vec![]),
            (7, "é", vec![]),
            (7, "021000021é", vec![]),
            (5, "52", vec![]),
            (7, "021000021 32", vec![]),
            (3, "021000021", vec![]),
        ] {
            assert_eq!(corrected_fields(number, data), fields, "C{number:02} {data}");
        }
    }
}
