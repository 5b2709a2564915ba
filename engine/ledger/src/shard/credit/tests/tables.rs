//! The stories. What a line means is said where they are read.

pub(super) const ALL: [&str; 10] =
    [WHO, TIME, TOTALS, WINDOWS, LIMITS, CAPS, BUDGETS, CHANGES, CHANNELS, ORDER];

/// Where every story begins.
pub(super) const NETWORK: &str = "
    asset  eur 2
    asset  usd 2
    party  A
    party  B
    party  C
    key    a1 A
    key    a2 A eur:50
    key    b1 B
    limit  A eur 100
    limit  B eur 100
    time   1000.0
";

pub(super) const WHO: &str = "
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    2000    10    valid    credited
    # What is no voucher, or signed by nobody whom we know.
    pay a1  B     eur   1    2000    20    garbage  malformed
    pay a1  B     eur   1    2000    20    unknown  unknown-signer
    pay x1  B     eur   1    2000    20    valid    unknown-signer
    pay a1  B     eur   1    2000    20    forged   bad-signature
    # What names nobody and nothing.
    pay a1  X     eur   1    2000    20    valid    unknown-payee
    pay a1  B     xxx   1    2000    20    valid    unknown-asset
    pay a1  A     eur   1    2000    20    valid    self-payment
    owes A  eur 10
    # A suspended party pays nobody, and nobody pays it; others go on.
    suspend A
    pay a1  B     eur   1    2000    20    valid    suspended-party
    pay b1  A     eur   1    2000    20    valid    suspended-party
    pay b1  C     eur   1    2000    20    valid    credited
    resume A
    pay a1  B     eur   1    2000    20    valid    credited
    pay b1  A     eur   1    2000    20    valid    credited
    # A revoked key pays no more, on no channel; the party's other keys go on.
    revoke a1
    pay a1  B     eur   1    2000    30    valid    revoked-signer
    pay a1  B     eur   2    2000    30    valid    revoked-signer
    pay a2  B     eur   1    2000    30    valid    credited
    owes A  eur 50
    owes B  eur 40
    # Who is registered now can be paid from now on.
    party X
    pay a2  X     eur   1    2000    1     valid    credited
";

pub(super) const TIME: &str = "
    # The last moment of a second counts as the second. Lives are 1000 seconds at most.
    time 1000.999999
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    1000    10    valid    expired
    pay a1  B     eur   1    1001    10    valid    credited
    pay a1  B     eur   2    2000    10    valid    credited
    pay a1  B     eur   3    2001    10    valid    lifetime-too-long
    pay a1  B     eur   3    9223372036854775807  10  valid  lifetime-too-long
    pay a1  B     eur   3    -9223372036854775808 10  valid  expired
    # A channel that is held ends in its second like one that is not.
    time 1001.0
    pay a1  B     eur   1    1001    11    valid    expired
    pay a1  B     eur   2    2000    11    valid    credited
    pay a1  B     eur   3    2001    10    valid    credited
    time 1999.999999
    pay a1  B     eur   2    2000    12    valid    credited
    time 2000.0
    pay a1  B     eur   2    2000    13    valid    expired
    owes A  eur 32
    # A clock that was set back lengthens no life beyond what is allowed.
    time 500.0
    pay a1  B     eur   2    2000    13    valid    lifetime-too-long
    time -5.0
    pay a1  B     eur   2    9223372036854775807  13  valid  lifetime-too-long
    pay a1  B     eur   2    -5      13    valid    expired
    pay a1  B     eur   2    -4      13    valid    credited
";

pub(super) const TOTALS: &str = "
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    2000    0     valid    stale
    pay a1  B     eur   1    2000    10    valid    credited
    pay a1  B     eur   1    2000    10    valid    stale
    pay a1  B     eur   1    2000    9     valid    stale
    # What changes nothing is not asked for its signature.
    pay a1  B     eur   1    2000    10    forged   stale
    pay a1  B     eur   1    2000    10    certain  stale
    pay a1  B     eur   1    2000    11    forged   bad-signature
    pay a1  B     eur   1    2000    11    valid    credited
    owes A  eur 11
    # Two of one channel in one frame: each is held against the one before.
    pay a1  B     eur   1    2000    15    valid    credited
    and a1  B     eur   1    2000    20    valid    credited
    owes A  eur 20
    pay a1  B     eur   1    2000    30    valid    credited
    and a1  B     eur   1    2000    25    valid    stale
    and a1  B     eur   1    2000    30    valid    stale
    and a1  B     eur   1    2000    30    forged   stale
    owes A  eur 30
    # The first of a new channel opens it for those that follow in the frame.
    pay a1  B     eur   2    2000    5     valid    credited
    and a1  B     eur   2    2000    5     valid    stale
    and a1  B     eur   2    2000    7     valid    credited
    owes A  eur 37
    # One that is refused takes nothing from the next, and opens nothing.
    pay a1  B     eur   3    2000    9     forged   bad-signature
    and a1  B     eur   3    2000    4     valid    credited
    and a1  B     eur   3    2000    90    valid    over-limit
    and a1  B     eur   3    2000    5     valid    credited
    owes A  eur 42
    # Key, payee, asset, lane and expiry: another one of them is another channel.
    limit A usd 1
    pay a1  B     eur   1    2000    1     valid    stale
    and a2  B     eur   1    2000    1     valid    credited
    and a1  C     eur   1    2000    1     valid    credited
    and a1  B     usd   1    2000    1     valid    credited
    and a1  B     eur   4    2000    1     valid    credited
    and a1  B     eur   1    1999    1     valid    credited
    owes A  eur 46
    owes A  usd 1
    # Two payers in one frame; what one owes the other is set off later, not here.
    pay b1  A     eur   1    2000    100   valid    credited
    and a1  B     eur   1    2000    84    valid    credited
    and b1  A     eur   1    2000    101   valid    over-limit
    owes A  eur 100
    owes B  eur 100
";

pub(super) const WINDOWS: &str = "
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    2000    30    valid    credited
    pay a1  C     eur   1    2000    5     valid    credited
    pay b1  A     eur   1    2000    7     valid    credited
    gauge eur 42 35
    cut
    gauge eur 0 0
    # The same vouchers in the next window are what they were.
    pay a1  B     eur   1    2000    30    valid    stale
    and b1  A     eur   1    2000    7     valid    stale
    # What is credited since goes into the open window, though the closed one has not left.
    pay a1  B     eur   1    2000    45    valid    credited
    pay a1  B     eur   1    2000    50    valid    credited
    gauge eur 20 55
    left A>B:30 A>C:5 B>A:7
    cut
    left A>B:20
    # A window in which nothing rose owes nothing, and resets no total.
    pay a1  B     eur   1    2000    50    valid    stale
    pay b1  A     eur   1    2000    6     valid    stale
    cut
    left
    pay a1  B     eur   1    2000    50    valid    stale
    pay a1  B     eur   1    2000    51    valid    credited
    # Two windows that are cut before the first has left.
    cut
    pay a1  B     eur   1    2000    53    valid    credited
    pay b1  A     eur   1    2000    10    valid    credited
    cut
    left A>B:1
    left A>B:2 B>A:3
    # Channels of one pair are owed as one sum; a second asset is another.
    limit A usd 9
    pay a1  B     eur   1    2000    54    valid    credited
    and a1  B     eur   2    2000    2     valid    credited
    and a2  B     eur   1    2000    4     valid    credited
    and a1  B     usd   1    2000    9     valid    credited
    cut
    left A>B:9 A>B:7
    # No cut makes anybody owe less.
    owes A  eur 65
    pay a1  B     eur   1    2000    90    valid    over-limit
";

pub(super) const LIMITS: &str = "
    # The limit of 100, to the unit.
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    2000    101   valid    over-limit
    pay a1  B     eur   1    2000    100   valid    credited
    pay a1  B     eur   1    2000    101   valid    over-limit
    pay a1  C     eur   1    2000    1     valid    over-limit
    # Deposits add up, and are there at once.
    deposit A eur 15
    deposit A eur 5
    pay a1  B     eur   1    2000    121   valid    over-limit
    pay a1  B     eur   1    2000    120   valid    credited
    # A limit below what is owed takes nothing back, and lets nothing more in.
    limit A eur 50
    pay a1  B     eur   1    2000    121   valid    over-limit
    owes A  eur 120
    # A batch settles 100, of which the deposits pay 20: of the limit of 50, 30 are left.
    release A eur 100 20
    owes A  eur 20
    pay a1  B     eur   1    2000    151   valid    over-limit
    pay a1  B     eur   1    2000    150   valid    credited
    # What came back is owed again, even above the limit.
    returned A eur 5
    owes A  eur 55
    pay a1  B     eur   1    2000    151   valid    over-limit
    release A eur 6 0
    pay a1  B     eur   1    2000    151   valid    credited
    pay a1  B     eur   1    2000    152   valid    over-limit
    # Asset by asset. Without a limit there is none, and one of zero is the same.
    pay a1  B     usd   1    2000    1     valid    over-limit
    limit A usd 0
    pay a1  B     usd   1    2000    1     valid    over-limit
    deposit A usd 1
    pay a1  B     usd   1    2000    1     valid    credited
    pay a1  B     usd   1    2000    2     valid    over-limit
    # In a frame a smaller one still fits where a larger one did not.
    pay b1  C     eur   1    2000    70    valid    credited
    and b1  C     eur   1    2000    101   valid    over-limit
    and b1  A     eur   1    2000    31    valid    over-limit
    and b1  A     eur   1    2000    30    valid    credited
    # Whatever the limit: 10^14 whole is the most that anybody owes.
    asset tok 0
    limit C tok 1000000000000000000000000000000000000
    key c1 C
    pay c1  B     tok   1    2000    18446744073709551615  valid  over-limit
    pay c1  B     tok   1    2000    100000000000001       valid  over-limit
    pay c1  B     tok   1    2000    100000000000000       valid  credited
    pay c1  B     tok   2    2000    1                     valid  over-limit
";

pub(super) const CAPS: &str = "
    # a2 may credit 50 in eur.
    #   key payee asset lane expires total verdict  outcome
    pay a2  B     eur   1    2000    51    valid    over-signer-cap
    used a2 eur 0
    pay a2  B     eur   1    2000    15    valid    credited
    # Of a channel that goes on, the rise counts.
    pay a2  B     eur   1    2000    20    valid    credited
    used a2 eur 20
    pay a2  B     eur   1    2000    20    valid    stale
    and a2  B     eur   2    2000    31    valid    over-signer-cap
    and a2  C     eur   1    2000    30    valid    credited
    used a2 eur 50
    pay a2  B     eur   1    2000    21    valid    over-signer-cap
    # What is settled comes back to the party, and never to the key.
    cut
    left A>B:20 A>C:30
    release A eur 50 0
    owes A  eur 0
    pay a2  B     eur   1    2000    21    valid    over-signer-cap
    # The key registered once more, just so, is the same key.
    key a2  A     eur:50
    used a2 eur 50
    pay a2  B     eur   1    2000    21    valid    over-signer-cap
    # Another key of the party and another asset have their own.
    pay a1  B     eur   1    2000    60    valid    credited
    limit A usd 60
    pay a2  B     usd   1    2000    60    valid    credited
    # A voucher that the limit refuses uses nothing of the cap.
    key a3  A     eur:500 usd:0
    pay a3  B     eur   1    2000    41    valid    over-limit
    used a3 eur 0
    pay a3  B     eur   1    2000    40    valid    credited
    used a3 eur 40
    # A cap of zero lets nothing in.
    limit A usd 100
    pay a3  B     usd   1    2000    1     valid    over-signer-cap
    # As much as 64 bits hold, and one more.
    asset tok 18
    limit A tok 1000000000000000000000000000000000000
    key a4  A     tok:18446744073709551615
    pay a4  B     tok   1    2000    18446744073709551615  valid  credited
    and a4  B     tok   2    2000    1                     valid  over-signer-cap
    owes A  tok 18446744073709551615
    # Without a cap the sum of two channels goes beyond 64 bits.
    pay a1  B     tok   1    2000    18446744073709551615  valid  credited
    owes A  tok 36893488147419103230
";

pub(super) const BUDGETS: &str = "
    limit   A eur 1000
    limit   A usd 1000
    budgets a1 eur:100/day eur:25/day@C eur:40/hour
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    2000    30    valid    credited
    # Of a channel that goes on, the rise counts; whatever does not fit is refused whole.
    pay a1  B     eur   1    2000    41    valid    over-hour-budget
    pay a1  B     eur   1    2000    40    valid    credited
    pay a1  B     eur   2    2000    1     valid    over-hour-budget
    pay a1  C     eur   2    2000    1     valid    over-hour-budget
    # Other assets, and other keys of the party, have their own.
    pay a1  B     usd   1    2000    500   valid    credited
    pay a2  B     eur   1    2000    50    valid    credited
    # The hour ends with its last microsecond. The same voucher fits the next one.
    time 3599.999999
    pay a1  B     eur   9    4000    1     valid    over-hour-budget
    time 3600.0
    pay a1  B     eur   9    4000    1     valid    credited
    # What goes to a payee of its own counts for all of them, too.
    pay a1  C     eur   9    4000    26    valid    over-day-budget
    pay a1  C     eur   9    4000    25    valid    credited
    and a1  C     eur   9    4000    26    valid    over-day-budget
    and a1  B     eur   9    4000    16    valid    over-hour-budget
    and a1  B     eur   9    4000    15    valid    credited
    # The day's 80 are used, then its 100; the day ends with its last microsecond.
    time 7200.0
    pay a1  B     eur   9    8000    21    valid    over-day-budget
    pay a1  B     eur   9    8000    20    valid    credited
    time 86399.999999
    pay a1  B     eur   9    86999   1     valid    over-day-budget
    time 86400.0
    pay a1  C     eur   9    86999   25    valid    credited
    pay a1  C     eur   9    86999   26    valid    over-day-budget
    # A month is the calendar's: January 1970 had 31 days, February 28.
    budgets a1 eur:100/month
    time 2678399.999999
    pay a1  B     eur   9    2679000 100   valid    credited
    pay a1  B     eur   9    2679000 101   valid    over-month-budget
    time 2678400.0
    pay a1  B     eur   9    2679000 200   valid    credited
    pay a1  B     eur   9    2679000 201   valid    over-month-budget
    time 5097599.999999
    pay a1  B     eur   9    5098000 1     valid    over-month-budget
    time 5097600.0
    pay a1  B     eur   9    5098000 1     valid    credited
    # What never begins anew goes on over months. A voucher that the limit refuses uses nothing.
    budgets a1 eur:100/total@B
    pay a1  B     eur   10   5098000 60    valid    credited
    limit   A eur 0
    pay a1  B     eur   11   5098000 40    valid    over-limit
    limit   A eur 1000
    time 9000000.0
    pay a1  B     eur   10   9000900 41    valid    over-total-budget
    pay a1  B     eur   10   9000900 40    valid    credited
    pay a1  C     eur   10   9000900 100   valid    credited
    # What is settled comes back to the party, and never to the key.
    cut
    left A>B:500 A>B:426 A>C:150
    release A eur 576 0
    pay a1  B     eur   11   9000900 1     valid    over-total-budget
    # Sums that no number holds are over every budget.
    budgets a1 usd:18446744073709551615/total
    limit   A usd 1000000
    pay a1  B     usd   8    9000900 9     valid    credited
    pay a1  B     usd   9    9000900 18446744073709551615 valid over-total-budget
";

pub(super) const CHANGES: &str = "
    limit   A eur 1000
    budgets a1 eur:100/day eur:50/hour
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    2000    39    valid    credited
    near
    pay a1  B     eur   1    2000    40    valid    credited
    near a1:40/50/hour0
    # Told once, whatever more is used of it in that hour.
    warned
    near
    pay a1  B     eur   1    2000    50    valid    credited
    near
    time 3600.0
    pay a1  B     eur   2    4000    40    valid    credited
    near a1:90/100/day0 a1:40/50/hour1
    warned
    near
    # Lowered below what is used: nothing more is credited, and it is near at once.
    budgets a1 eur:60/day eur:50/hour
    near a1:90/60/day0
    pay a1  B     eur   2    4000    41    valid    over-day-budget
    # Raised: what was used still counts.
    budgets a1 eur:95/day eur:50/hour
    pay a1  B     eur   2    4000    46    valid    over-day-budget
    pay a1  B     eur   2    4000    45    valid    credited
    near a1:95/95/day0
    # Set just so once more: who was told was told.
    warned
    budgets a1 eur:95/day eur:50/hour
    near
    # Taken away, and given again: it begins at nothing. What another had used does not count.
    budgets a1
    near
    pay a1  B     eur   3    4000    500   valid    credited
    budgets a1 eur:20/day eur:20/day@C
    pay a1  B     eur   4    4000    21    valid    over-day-budget
    pay a1  B     eur   4    4000    16    valid    credited
    pay a1  C     eur   4    4000    4     valid    credited
    near a1:20/20/day0
    # One for nothing stops the key.
    budgets a1 eur:0/total
    time 9000000.0
    pay a1  B     eur   5    9000900 1     valid    over-total-budget
    near
    budgets a1
    pay a1  B     eur   5    9000900 1     valid    credited
    # Budgets of a key that is not known, or of another shard's, harm nobody.
    budgets x1 eur:1/day
    cut
    left A>B:612 A>C:4
";

pub(super) const CHANNELS: &str = "
    # Live ones: two of a key, three of a party.
    channels 2 3
    #   key payee asset lane expires total verdict  outcome
    pay a1  B     eur   1    1500    1     valid    credited
    pay a1  B     eur   2    2000    1     valid    credited
    pay a1  B     eur   3    2000    1     valid    too-many-channels
    # Those that are open go on.
    pay a1  B     eur   1    1500    2     valid    credited
    # Another key has room until its party has none.
    pay a2  B     eur   1    2000    1     valid    credited
    and a2  B     eur   2    2000    1     valid    too-many-channels
    and a2  B     eur   1    2000    2     valid    credited
    # Another party has its own, and whom it pays does not matter.
    pay b1  A     eur   1    2000    1     valid    credited
    # A cut ends no channel; its expiry does, from that very second on.
    cut
    left A>B:5 B>A:1
    pay a1  B     eur   3    2000    1     valid    too-many-channels
    time 1499.999999
    pay a1  B     eur   3    2000    1     valid    too-many-channels
    time 1500.0
    pay a1  B     eur   3    2000    1     valid    credited
    pay a1  B     eur   4    2000    1     valid    too-many-channels
    # What is refused for something else opens none.
    time 2000.0
    pay a1  B     eur   1    3000    1     forged   bad-signature
    and a1  B     eur   2    3000    101   valid    over-limit
    and a1  B     eur   3    3000    1     valid    credited
    and a1  B     eur   4    3000    1     valid    credited
    and a1  B     eur   5    3000    1     valid    too-many-channels
";

/// Each line is wrong in the way that it is refused for, and in the next one or in all that follow.
pub(super) const ORDER: &str = "
    # S is suspended, and its key s2 is revoked too. The keys of A are full, and a2 has a cap of 50.
    party  S
    key    s1 S
    key    s2 S
    revoke s2
    suspend S
    channels 1 2
    pay a1  B     eur   1    2000    1     valid    credited
    pay a2  B     eur   1    2000    1     valid    credited
    #   key payee asset lane expires total verdict  outcome
    pay x1  X     xxx   9    0       0     garbage  malformed
    pay x1  X     xxx   9    0       0     unknown  unknown-signer
    pay x1  X     xxx   9    0       0     forged   unknown-signer
    pay s2  X     xxx   9    0       0     forged   revoked-signer
    pay s1  X     xxx   9    0       0     forged   suspended-party
    pay a1  X     xxx   9    0       0     forged   unknown-payee
    pay a1  S     xxx   9    0       0     forged   suspended-party
    pay a1  A     xxx   9    0       0     forged   unknown-asset
    pay a1  A     eur   9    0       0     forged   self-payment
    pay a1  B     eur   9    0       0     forged   expired
    pay a1  B     eur   9    9999    0     forged   lifetime-too-long
    pay a1  B     eur   9    2000    0     forged   stale
    pay a1  B     eur   9    2000    999   forged   bad-signature
    pay a2  B     eur   9    2000    999   valid    too-many-channels
    pay a2  B     eur   1    2000    999   valid    over-signer-cap
    budgets a1 eur:9/total eur:9/month eur:9/day eur:9/hour
    pay a1  B     eur   1    2000    999   valid    over-total-budget
    budgets a1 eur:999/total eur:9/month eur:9/day eur:9/hour
    pay a1  B     eur   1    2000    999   valid    over-month-budget
    budgets a1 eur:9/day eur:9/hour
    pay a1  B     eur   1    2000    999   valid    over-day-budget
    budgets a1 eur:9/hour
    pay a1  B     eur   1    2000    999   valid    over-hour-budget
    budgets a2 eur:9/hour
    pay a2  B     eur   1    2000    999   valid    over-signer-cap
    budgets a1
    pay a1  B     eur   1    2000    999   valid    over-limit
    # What certainly changes nothing is told what stands before that, all the same.
    pay s1  B     eur   1    2000    1     certain  suspended-party
    pay a1  B     eur   1    1000    1     certain  expired
    pay a1  B     eur   1    2000    1     certain  stale
    # None of them has left anything behind.
    owes A  eur 2
    pay a1  B     eur   1    2000    2     valid    credited
";
