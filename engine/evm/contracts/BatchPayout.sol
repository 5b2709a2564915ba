// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// What the contract asks of its token. `transfer` is called by hand: some tokens return nothing.
interface IToken {
    function balanceOf(address holder) external view returns (uint256);
}

/// Pays many holders of one ERC-20 token in one transaction, each batch once.
///
/// Owns the money that the operator sends to it (plain token transfers) until it is paid out or
/// withdrawn. Only the owner can move it. There is no proxy, no upgrade, no delegatecall, no
/// selfdestruct, no way to take the native coin and no way to forget a batch id.
///
/// One item that fails (a blocked recipient, a token that refuses) is left out and told by an
/// event; its amount stays here. Anything wrong with the batch itself reverts all of it.
contract BatchPayout {
    /// Items in one batch: what fits a transaction of 2^24 gas if every recipient is new to the
    /// token.
    uint256 public constant ITEMS_MAX = 400;
    /// Gas for one transfer. A recipient whose transfer needs more fails alone; it cannot use up
    /// what the items behind it need.
    uint256 public constant ITEM_GAS = 200_000;
    /// Bytes of a failed transfer's answer that its event repeats: an `Error(string)` of 60
    /// characters.
    uint256 public constant REASON_BYTES_MAX = 128;

    /// Gas that must be left before an item: EVM calls hand on at most 63/64, and the event of a
    /// failure must still fit: ITEM_GAS * 64 / 63 + 15,000. So too little gas is told as what it is
    /// and never looks like a failed item.
    uint256 private constant GAS_BEFORE_ITEM = 218_175;
    /// Bytes of one item: recipient (20), amount (12).
    uint256 private constant ITEM_BYTES = 32;

    /// The only token that is paid out.
    address public immutable token;
    /// Who may pay and withdraw.
    address public owner;
    /// Who becomes owner on accepting; zero if nobody was asked.
    address public pendingOwner;
    /// The block in which a batch was paid; zero if it was not.
    mapping(bytes32 batchId => uint256 blockNumber) public paidIn;

    /// A batch was paid: `paid` items moved `sum`, `failed` items moved nothing.
    event Paid(bytes32 indexed batchId, uint256 paid, uint256 failed, uint256 sum);
    /// The item at `index` (from 0) moved nothing; `reason` is what the token answered, cut.
    event Failed(bytes32 indexed batchId, uint256 index, address to, uint256 amount, bytes reason);
    event Withdrawn(address indexed token, address indexed to, uint256 amount);
    event OwnershipOffered(address indexed owner, address indexed pendingOwner);
    event OwnershipTaken(address indexed before, address indexed owner);

    error NotOwner(address caller);
    error NotPendingOwner(address caller);
    error NoToken(address token);
    error ItemsLength(uint256 length);
    error AlreadyPaid(bytes32 batchId, uint256 blockNumber);
    error ControlSum(uint256 expected, uint256 got);
    error Underfunded(uint256 balance, uint256 sum);
    error GasTooLow(uint256 index);
    error WithdrawFailed(address token, bytes reason);

    modifier onlyOwner() {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        _;
    }

    constructor(address token_) {
        if (token_.code.length == 0) revert NoToken(token_);
        token = token_;
        owner = msg.sender;
        emit OwnershipTaken(address(0), msg.sender);
    }

    /// Pays `items`, packed (recipient 20 bytes, amount 12 bytes, big endian), which must sum to
    /// `sum`. The id is taken before any transfer, so a token that calls back finds it paid.
    function pay(bytes32 batchId, bytes calldata items, uint256 sum) external onlyOwner {
        uint256 length = items.length;
        if (length == 0 || length % ITEM_BYTES != 0 || length > ITEMS_MAX * ITEM_BYTES) {
            revert ItemsLength(length);
        }
        if (paidIn[batchId] != 0) revert AlreadyPaid(batchId, paidIn[batchId]);
        paidIn[batchId] = block.number;
        // Too little money is the operator's failure, not that of the recipients at the end.
        uint256 balance = IToken(token).balanceOf(address(this));
        if (balance < sum) revert Underfunded(balance, sum);
        (uint256 total, uint256 moved, uint256 paid) = _payItems(batchId, items);
        if (total != sum) revert ControlSum(sum, total);
        emit Paid(batchId, paid, length / ITEM_BYTES - paid, moved);
    }

    /// Takes money out: what is left of failed items, or another token that was sent here by
    /// mistake.
    function withdraw(address token_, address to, uint256 amount) external onlyOwner {
        if (token_.code.length == 0) revert NoToken(token_);
        if (!_transfer(token_, to, amount, gasleft())) revert WithdrawFailed(token_, _reason());
        emit Withdrawn(token_, to, amount);
    }

    /// Offers the ownership; nothing changes until the other side accepts. Zero: no offer.
    function transferOwnership(address to) external onlyOwner {
        pendingOwner = to;
        emit OwnershipOffered(owner, to);
    }

    /// Takes an offered ownership.
    function acceptOwnership() external {
        if (msg.sender != pendingOwner) revert NotPendingOwner(msg.sender);
        emit OwnershipTaken(owner, msg.sender);
        owner = msg.sender;
        pendingOwner = address(0);
    }

    /// `total` is what all items sum to (400 x 2^96 cannot overflow), `moved` what the paid ones
    /// do.
    function _payItems(bytes32 batchId, bytes calldata items)
        private
        returns (uint256 total, uint256 moved, uint256 paid)
    {
        uint256 count = items.length / ITEM_BYTES;
        for (uint256 index = 0; index < count; ++index) {
            uint256 item;
            assembly ("memory-safe") {
                item := calldataload(add(items.offset, mul(index, ITEM_BYTES)))
            }
            address to = address(uint160(item >> 96));
            uint256 amount = uint96(item);
            total += amount;
            if (gasleft() < GAS_BEFORE_ITEM) revert GasTooLow(index);
            // Money sent to this contract or to the token would count as paid and be nobody's.
            bool own = to == address(this) || to == token;
            if (!own && _transfer(token, to, amount, ITEM_GAS)) {
                moved += amount;
                ++paid;
            } else {
                emit Failed(batchId, index, to, amount, own ? bytes("own address") : _reason());
            }
        }
    }

    /// `transfer(to, amount)`: true if it did not revert and returned true or nothing. At most one
    /// word of the answer is copied: a recipient cannot make this pay for a long one.
    function _transfer(address token_, address to, uint256 amount, uint256 gas_)
        private
        returns (bool done)
    {
        assembly ("memory-safe") {
            // Over scratch space and the free memory pointer, which is put back: no memory grows.
            let free := mload(0x40)
            mstore(0x00, 0xa9059cbb) // selector of transfer(address,uint256), at 0x1c
            mstore(0x20, to)
            mstore(0x40, amount)
            done := call(gas_, token_, 0, 0x1c, 0x44, 0x00, 0x20)
            if done {
                switch returndatasize()
                case 0 {}
                default { done := and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1)) }
            }
            mstore(0x40, free)
        }
    }

    /// What the last call answered, cut to REASON_BYTES_MAX.
    function _reason() private pure returns (bytes memory reason) {
        assembly ("memory-safe") {
            let length := returndatasize()
            if gt(length, REASON_BYTES_MAX) { length := REASON_BYTES_MAX }
            reason := mload(0x40)
            mstore(reason, length)
            returndatacopy(add(reason, 0x20), 0, length)
            mstore(0x40, add(add(reason, 0x20), REASON_BYTES_MAX))
        }
    }
}
