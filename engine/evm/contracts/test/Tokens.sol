// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

// Tokens for tests only; never deployed anywhere else. Each behaves as some token in use does.

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// An ordinary ERC-20 token with the decimals that one wants. Anyone may mint.
contract PlainToken is ERC20 {
    uint8 private immutable _decimals;

    constructor(uint8 decimals_) ERC20("Plain", "PLN") {
        _decimals = decimals_;
    }

    function decimals() public view override returns (uint8) {
        return _decimals;
    }

    function mint(address to, uint256 amount) external virtual {
        _mint(to, amount);
    }
}

/// Has a list of blocked addresses and can be paused, as regulated stablecoins do: both revert.
contract BlacklistToken is PlainToken {
    mapping(address => bool) public blocked;
    bool public paused;

    error Blocked(address account);

    constructor() PlainToken(6) {}

    function setBlocked(address account, bool yes) external {
        blocked[account] = yes;
    }

    function setPaused(bool yes) external {
        paused = yes;
    }

    function _update(address from, address to, uint256 amount) internal override {
        require(!paused, "Pausable: paused");
        if (blocked[to]) revert Blocked(to);
        super._update(from, to, amount);
    }
}

/// Tells a blocked recipient by returning false, moving nothing.
contract FalseToken is PlainToken {
    mapping(address => bool) public blocked;

    constructor() PlainToken(6) {}

    function setBlocked(address account, bool yes) external {
        blocked[account] = yes;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        if (blocked[to]) return false;
        return super.transfer(to, amount);
    }
}

/// Returns nothing from `transfer`, as USDT on Ethereum does.
contract SilentToken {
    mapping(address => uint256) public balanceOf;
    uint8 public constant decimals = 6;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function transfer(address to, uint256 amount) external {
        require(balanceOf[msg.sender] >= amount);
        unchecked {
            balanceOf[msg.sender] -= amount;
            balanceOf[to] += amount;
        }
    }
}

interface IReceiver {
    function tokensReceived(uint256 amount) external;
}

/// Calls a recipient that is a contract, as ERC-777 tokens do.
contract HookToken is PlainToken {
    constructor() PlainToken(6) {}

    function transfer(address to, uint256 amount) public override returns (bool) {
        super.transfer(to, amount);
        if (to.code.length != 0) IReceiver(to).tokensReceived(amount);
        return true;
    }
}

/// A recipient that does its worst when it is paid.
contract Receiver is IReceiver {
    enum Mode {
        Accept,
        Revert,
        BurnGas,
        ReturnBomb,
        PayAgain,
        Withdraw
    }

    Mode public mode;
    address public payout;
    bytes public attempt;
    bool public refused;

    constructor(Mode mode_, address payout_) {
        mode = mode_;
        payout = payout_;
    }

    /// What it calls the payout contract with, in PayAgain and Withdraw.
    function setAttempt(bytes calldata attempt_) external {
        attempt = attempt_;
    }

    /// Lets this contract become owner of the payout contract.
    function accept() external {
        (bool done,) = payout.call(abi.encodeWithSignature("acceptOwnership()"));
        require(done, "not accepted");
    }

    /// Calls the payout contract, as its owner.
    function act(bytes calldata data) external {
        (bool done,) = payout.call(data);
        require(done, "the payout contract reverted");
    }

    function tokensReceived(uint256) external {
        if (mode == Mode.Revert) revert("no, thank you");
        if (mode == Mode.BurnGas) while (true) {}
        if (mode == Mode.ReturnBomb) {
            assembly {
                revert(0, 50000)
            }
        }
        if (mode == Mode.PayAgain || mode == Mode.Withdraw) {
            (bool done,) = payout.call(attempt);
            refused = !done;
        }
    }
}
