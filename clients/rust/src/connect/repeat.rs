//! Which calls may be made once more when nobody knows whether the first one arrived: those that
//! change nothing, and changes with a request id, which happen once however often they arrive.

/// What calls begin with that change nothing.
const READS: [&str; 5] = ["Get", "List", "Find", "Export", "Watch"];
/// Those that have no request id: a frame that is sent again is answered otherwise, and whoever
/// sends it must know; the others are no changes of the ledger, or a stream of changes.
const WITHOUT_ID: [&str; 8] = [
    "Submit",
    "Stream",
    "Import",
    "RevealParty",
    "CreateConsoleLogin",
    "CreateBackup",
    "ReplayWebhook",
    "TestWebhook",
];
/// How a field begins that is number 1 and a text: where all other calls have their `request_id`.
const REQUEST_ID: u8 = 0x0a;
/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// Whether a call of this path may be made again, with this body.
pub(super) fn may_be(path: &str, body: &[u8]) -> bool {
    let call = path.rsplit('/').next().unwrap_or_default();
    if READS.iter().any(|word| call.starts_with(word)) {
        return true;
    }
    let Some((&[compressed, a, b, c, d], message)) = body.split_first_chunk::<HEAD>() else {
        return false;
    };
    let is_one = usize::try_from(u32::from_be_bytes([a, b, c, d])) == Ok(message.len());
    let has_id = matches!(message, [REQUEST_ID, length, ..] if *length > 0);
    compressed == 0 && is_one && has_id && !WITHOUT_ID.contains(&call)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost_reflect::{DescriptorPool, Kind};
    use tallystick_proto::FILE_DESCRIPTORS;
    use tonic::codegen::Bytes;

    /// A message as it travels.
    fn framed(message: &impl prost::Message) -> Vec<u8> {
        let message = message.encode_to_vec();
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &message].concat()
    }

    #[test]
    fn every_call_of_the_contract_is_of_one_kind() {
        let pool = DescriptorPool::decode(FILE_DESCRIPTORS).unwrap();
        let mut with_id = 0;
        for call in pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let reads = READS.iter().any(|word| call.name().starts_with(word));
            let first = call.input().get_field(1);
            let has_id = first
                .is_some_and(|field| field.name() == "request_id" && field.kind() == Kind::String);
            let kinds = [reads, has_id, WITHOUT_ID.contains(&call.name())];
            let of = kinds.iter().filter(|is| **is).count();
            assert_eq!(of, 1, "{}: {kinds:?}", call.name());
            with_id += usize::from(has_id);
        }
        assert!(with_id > 20, "{with_id}");
    }

    #[test]
    fn a_change_is_made_again_under_its_request_id_alone() {
        use tallystick_proto::v1::{
            CloseWindowRequest, CreateBackupRequest, Frame, GetPartyRequest, ImportRequest,
        };
        let close = |id: &str| framed(&CloseWindowRequest { request_id: id.to_owned() });
        let path = "/tallystick.v1.Operator/CloseWindow";
        assert!(may_be(path, &close("a")));
        assert!(!may_be(path, &close("")));
        assert!(!may_be(path, &[close("a"), close("b")].concat()));
        assert!(!may_be(path, &[]));
        assert!(may_be("/tallystick.v1.Operator/GetStatus", &[]));
        assert!(may_be("/tallystick.v1.Operator/WatchNow", &[]));
        let frame = Frame { frame_id: 1, packed: Bytes::from_static(&[1; 160]), ..<_>::default() };
        assert!(!may_be("/tallystick.v1.Vouchers/Submit", &framed(&frame)));
        let party = GetPartyRequest { party_id: Bytes::from_static(&[1; 32]) };
        assert!(!may_be("/tallystick.v1.Operator/RevealParty", &framed(&party)));
        let backup = CreateBackupRequest { to: "folder".into() };
        assert!(!may_be("/tallystick.v1.Operator/CreateBackup", &framed(&backup)));
        let item = ImportRequest::default();
        assert!(!may_be("/tallystick.v1.Operator/Import", &framed(&item)));
    }
}
