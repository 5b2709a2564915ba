//! The rows. What their columns are is said where they are read.

pub(super) const MULTILATERAL: &str = "
    [multilateral iso20022 unit 10 least 20 most 50]
    # owed            | deposits | legs                     | carried       | by deposit | in out on
    A>B:40            |          | A>0:40 0>B:40             |               |            | 40 40 0
    # Pay-ins first, each side by party; who owes and is owed has one leg or none.
    C>A:20 B>A:30     |          | B>0:30 C>0:20 0>A:50      |               |            | 50 50 0
    A>B:40 B>C:40     |          | A>0:40 0>C:40             |               |            | 40 40 0
    A>B:40 B>C:20     |          | A>0:40 0>B:20 0>C:20      |               |            | 40 40 0
    # Windows are set off against each other before anything is paid.
    A>B:40 ; B>A:10   |          | A>0:30 0>B:30             |               |            | 30 30 0
    A>B:15 ; A>B:15   |          | A>0:30 0>B:30             |               |            | 30 30 0
    # Above the largest it is paid in parts.
    A>B:50            |          | A>0:50 0>B:50             |               |            | 50 50 0
    A>B:70            |          | A>0:50 A>0:20#1 0>B:50 0>B:20#1 |         |            | 70 70 0
    A>B:100           |          | A>0:50 A>0:50#1 0>B:50 0>B:50#1 |         |           | 100 100 0
    A>B:120           |          | A>0:50 A>0:50#1 A>0:20#2 0>B:50 0>B:50#1 0>B:20#2 | | | 120 120 0
    # Below the unit, and below the least, it is carried: also the last part of a larger sum.
    A>B:47            |          | A>0:40 0>B:40             | 0>B:7 A>0:7   |            | 40 40 7
    A>B:20            |          | A>0:20 0>B:20             |               |            | 20 20 0
    A>B:19            |          |                           | 0>B:19 A>0:19 |            | 0 0 19
    A>B:1             |          |                           | 0>B:1 A>0:1   |            | 0 0 1
    A>B:69            |          | A>0:50 0>B:50             | 0>B:19 A>0:19 |            | 50 50 19
    # Many debtors' dust is their creditor's whole: the clearing account advances it.
    A>C:25 B>C:25     |          | A>0:20 B>0:20 0>C:50      | A>0:5 B>0:5   |            | 40 50 0
    # And many creditors' dust is their debtor's: it keeps it for them.
    A>B:25 A>C:25     |          | A>0:50 0>B:20 0>C:20      | 0>B:5 0>C:5   |            | 50 40 10
    # Dust of earlier batches has no leg of its own; it is paid with what its party owes by now.
    A>B:40 A>0:5      |          | A>0:40 0>B:40             | A>0:5         |            | 40 40 0
    A>B:35 A>0:5 0>B:5 |         | A>0:40 0>B:40             |               |            | 40 40 0
    0>B:20            |          | 0>B:20                    |               |            | 0 20 0
    A>0:20            |          | A>0:20                    |               |            | 20 0 0
    A>0:9             |          |                           | A>0:9         |            | 0 0 0
    # Deposits pay before any rail does, as far as they go; they pay dust, too.
    A>B:40            | A:40     | 0>B:40                    |               | A:40       | 0 40 0
    A>B:40            | A:99     | 0>B:40                    |               | A:40       | 0 40 0
    A>B:40            | A:15     | A>0:20 0>B:40             | A>0:5         | A:15       | 20 40 0
    A>B:40            | A:25     | 0>B:40                    | A>0:15        | A:25       | 0 40 0
    A>B:7             | A:99     |                           | 0>B:7         | A:7        | 0 0 7
    A>B:40 A>0:5      | A:45     | 0>B:40                    |               | A:45       | 0 40 0
    A>0:9             | A:9      |                           |               | A:9        | 0 0 0
    # Those of who is owed pay nothing; set off comes before them.
    A>B:40            | B:99     | A>0:40 0>B:40             |               |            | 40 40 0
    A>B:40 B>A:20     | A:99 B:9 | 0>B:20                    |               | A:20       | 0 20 0
    A>C:30 B>C:40     | A:30     | B>0:40 0>C:50 0>C:20#1    |               | A:30       | 40 70 0
";

pub(super) const BILATERAL: &str = "
    [bilateral iso20022 unit 10 least 20 most 50]
    # owed            | deposits | legs                     | carried       | by deposit | in out on
    A>B:40            |          | A>B:40                    |               |            | 0 40 0
    # Pair by pair, in their order. Only the two of a pair are set off, over all windows.
    B>A:20 A>D:20 A>C:30 |       | A>C:30 A>D:20 B>A:20      |               |            | 0 70 0
    A>B:40 B>C:40 C>A:40 |       | A>B:40 B>C:40 C>A:40      |               |            | 0 120 0
    A>B:40 B>A:10     |          | A>B:30                    |               |            | 0 30 0
    A>B:40 ; B>A:10   |          | A>B:30                    |               |            | 0 30 0
    # Parts and dust stay between the two.
    A>B:117           |          | A>B:50 A>B:50#1           | A>B:17        |            | 0 100 17
    A>B:47            |          | A>B:40                    | A>B:7         |            | 0 40 7
    A>B:19            |          |                           | A>B:19        |            | 0 0 19
    # A deposit lies on the clearing account, which pays from it: before the pairs do.
    A>B:40            | A:40     | 0>B:40                    |               | A:40       | 0 40 0
    A>B:50            | A:20     | 0>B:20 A>B:30             |               | A:20       | 0 50 0
    B>A:40 C>A:20     | C:20     | 0>A:20 B>A:40             |               | C:20       | 0 60 0
    # In whole units alone, and payee by payee.
    A>B:45            | A:33     | 0>B:30                    | A>B:15        | A:30       | 0 30 15
    A>B:45            | A:99     | 0>B:40                    | A>B:5         | A:40       | 0 40 5
    A>B:40 A>C:40     | A:50     | 0>B:40 A>C:30             | 0>C:10        | A:50       | 0 70 10
    A>B:40 A>C:40     | A:9      | A>B:40 A>C:40             |               |            | 0 80 0
    # One payment a payee, whoever's deposits they are.
    A>C:20 B>C:20     | A:20 B:20 | 0>C:40                   |               | A:20 B:20  | 0 40 0
    A>C:40 B>C:40     | A:40 B:40 | 0>C:50 0>C:30#1          |               | A:40 B:40  | 0 80 0
    # What an earlier batch left with the clearing account: paid in first, paid out next.
    A>B:30 A>0:25     |          | A>0:20 A>B:30             | A>0:5         |            | 20 30 0
    A>B:30 A>0:25     | A:25     | A>B:30                    |               | A:25       | 0 30 0
    A>C:30 B>0:20     |          | B>0:20 A>C:30             |               |            | 20 30 0
    A>B:30 0>B:20     |          | 0>B:20 A>B:30             |               |            | 0 50 0
    A>B:30 0>B:10     | A:20     | 0>B:30                    | A>B:10        | A:20       | 0 30 10
";

/// What each rail can do is what `tallystick-rails` says of it for an asset of that many decimals.
pub(super) const RAILS: &str = "
    # A bank file, in cents: 999,999,999.99 at most.
    [multilateral iso20022 unit 1 least 1 most 99999999999]
    A>B:1            | | A>0:1 0>B:1                     | | | 1 1 0
    A>B:99999999999  | | A>0:99999999999 0>B:99999999999 | | | 99999999999 99999999999 0
    A>B:100000000000 | | A>0:99999999999 A>0:1#1 0>B:99999999999 0>B:1#1 | | \
        | 100000000000 100000000000 0
    # The same of an asset of six decimals: a cent is 10,000 of its units.
    [multilateral iso20022 unit 10000 least 10000 most 999999999990000]
    A>B:9999         | |                                 | 0>B:9999 A>0:9999 | | 0 0 9999
    A>B:10000        | | A>0:10000 0>B:10000             |                   | | 10000 10000 0
    A>B:1234567      | | A>0:1230000 0>B:1230000        | 0>B:4567 A>0:4567 | | 1230000 1230000 4567
    # Yen of two decimals: the bank moves whole ones.
    [bilateral iso20022 unit 100 least 100 most 99999999900]
    A>B:12345        | | A>B:12300                       | A>B:45 | | 0 12300 45
    # NACHA: ten digits of cents an entry; a million dollars on the same day.
    [multilateral nacha unit 1 least 1 most 9999999999]
    A>B:9999999999   | | A>0:9999999999 0>B:9999999999   | | | 9999999999 9999999999 0
    A>B:10000000000 || A>0:9999999999 A>0:1#1 0>B:9999999999 0>B:1#1 || | 10000000000 10000000000 0
    [bilateral nacha unit 1 least 1 most 100000000]
    A>B:100000000    | | A>B:100000000                   | | | 0 100000000 0
    A>B:200000001    | | A>B:100000000 A>B:100000000#1 A>B:1#2 | | | 0 200000001 0
    # Charges of a provider: half a euro at least, eight digits at most.
    [multilateral card unit 1 least 50 most 99999999]
    A>B:49           | |                                 | 0>B:49 A>0:49 | | 0 0 49
    A>B:50           | | A>0:50 0>B:50                   |               | | 50 50 0
    A>B:99999999     | | A>0:99999999 0>B:99999999       |               | | 99999999 99999999 0
    A>B:100000048    | | A>0:99999999 0>B:99999999       | 0>B:49 A>0:49 | | 99999999 99999999 49
    A>B:100000049    | | A>0:99999999 A>0:50#1 0>B:99999999 0>B:50#1 | | | 100000049 100000049 0
    A>C:49 B>C:1     | | 0>C:50                          | A>0:49 B>0:1  | | 0 50 0
    # A token of six decimals, of which the operator sends one whole at least.
    [multilateral evm unit 1 least 1000000 most 79228162514264337593543950335]
    A>B:999999       | |                                 | 0>B:999999 A>0:999999 | | 0 0 999999
    A>B:1000001      | | A>0:1000001 0>B:1000001         |                     | | 1000001 1000001 0
    A>C:600000 B>C:600000 | | 0>C:1200000                | A>0:600000 B>0:600000 | | 0 1200000 0
    # The same payments under other rules are another batch.
    [multilateral iso20022 unit 10 least 20 most 60]
    A>B:40           | | A>0:40 0>B:40                   | | | 40 40 0
    [multilateral iso20022 unit 10 least 10 most 50]
    A>B:40           | | A>0:40 0>B:40                   | | | 40 40 0
    [multilateral iso20022 unit 5 least 20 most 50]
    A>B:40           | | A>0:40 0>B:40                   | | | 40 40 0
    [multilateral nacha unit 10 least 20 most 50]
    A>B:40           | | A>0:40 0>B:40                   | | | 40 40 0
";

pub(super) const REFUSALS: &str = "
    # A bank, or a contract, is paid into: whoever pays in needs no account; whoever is paid, does.
    [multilateral iso20022 unit 10 least 20 most 50]
    # owed            | deposits | without | what comes of it
    A>B:40            |          |         | accounts B
    A>B:40            |          | A       | accounts B
    A>B:40            |          | B       | AccountsMissing 1 B
    A>B:40            |          | AB      | AccountsMissing 1 B
    # Who has no leg needs none: what is carried, what is set off, what a ring pays.
    A>B:19            |          | AB      | accounts
    A>B:40 B>C:40     |          | B       | accounts C
    # The first three are named.
    A>B:20 A>C:20 A>D:20          | | BCD  | AccountsMissing 3 B C D
    A>B:20 A>C:20 A>D:20 A>E:20   | | BCDE | AccountsMissing 4 B C D ...
    # Nothing is owed, or all of it is set off.
                      |          |         | NothingToSettle
    A>B:40 B>A:40     |          |         | NothingToSettle
    A>B:40 B>C:40 C>A:40 |       |         | NothingToSettle
    A>B:40 ; B>A:40   |          | AB      | NothingToSettle
    # What deposits pay, or what is carried on, is something.
    A>B:1             | A:1      | AB      | accounts
    A>B:1             |          | AB      | accounts
    A>0:9             | A:9      | AB      | accounts
    [multilateral evm unit 10 least 20 most 50]
    A>B:40            |          | A       | accounts B
    A>B:40            |          | B       | AccountsMissing 1 B
    # These fetch pay-ins themselves: both sides need one, but not who pays by deposit.
    [multilateral nacha unit 10 least 20 most 50]
    A>B:40            |          |         | accounts A B
    A>B:40            |          | A       | AccountsMissing 1 A
    A>B:40            | A:40     | A       | accounts B
    [multilateral card unit 10 least 20 most 50]
    A>B:40            |          | A       | AccountsMissing 1 A
    A>B:40            |          | B       | AccountsMissing 1 B
    A>B:40            |          | AB      | AccountsMissing 2 A B
    # From party to party both are named to the rail, whichever it is.
    [bilateral iso20022 unit 10 least 20 most 50]
    A>B:40            |          | A       | AccountsMissing 1 A
    A>B:40            |          | B       | AccountsMissing 1 B
    A>B:40 A>C:40     |          | A       | AccountsMissing 1 A
    A>B:40            | A:40     | A       | accounts B
    A>0:40            |          | A       | accounts
    [bilateral nacha unit 10 least 20 most 50]
    A>0:40            |          | A       | AccountsMissing 1 A
    A>B:40 B>C:40 C>A:40 |       |         | accounts A B C
    A>B:40 ; B>A:40   |          |         | NothingToSettle
";
