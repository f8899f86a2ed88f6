//! Conversations that break off: what their gaps say, also where the clock is set.

use super::{OPENING, check};

#[test]
fn a_reconnect_is_one_gap_that_ends_with_the_last_acknowledgement() {
    let more = r#"
        < {"id":2,"result":["a","b"]}
        < {"id":1,"result":"ok"}
        gap
        at 110
        < {"method":"heartbeat","params":{}}
        at 113
        down bye
        ack
        at 120
        up
        > 3 public/set_heartbeat {"interval":10}
        > 4 public/subscribe {"channels":["a","b"]}
        < {"id":2,"result":["a","b"]}
        ack
        gap
        at 121
        down again
        up
        > 5 public/set_heartbeat {"interval":10}
        > 6 public/subscribe {"channels":["a","b"]}
        at 122
        < {"id":6,"result":["a","b"]}
        gap * 98 122 disconnected
        gap
        finish
        gap
    "#;
    check(None, &format!("{OPENING}{more}"));
}

#[test]
fn a_restart_is_a_gap_until_the_goal_is_acknowledged() {
    let more = r#"
        lost 50
        < {"id":2,"result":["a","b"]}
        gap * 50 100 restart
        gap
    "#;
    check(None, &format!("{OPENING}{more}"));
    check(None, &format!("{OPENING} lost 50 \n at 105 \n finish \n gap * 50 -1 restart \n gap"));
    check(None, &format!("{OPENING} at 101 \n down x \n finish \n gap"));
}

/// Whichever setting of the clock is right: the gap covers what was lost.
#[test]
fn a_gap_in_which_the_clock_is_set_is_what_either_setting_tells() {
    let more = |set: &str, told: &str, gap: &str| {
        let script = r#"
            < {"id":2,"result":["a","b"]}
            at 105
            SET
            at 106
            down x
            at 110
            TOLD
            up
            > 3 public/set_heartbeat {"interval":10}
            > 4 public/subscribe {"channels":["a","b"]}
            < {"id":4,"result":["a","b"]}
            GAP
        "#;
        let script = script.replace("SET", set).replace("TOLD", told).replace("GAP", gap);
        format!("{OPENING}{script}")
    };
    check(None, &more("set 0", "", "gap * 98 110 disconnected"));
    // What the old setting tells is written at once.
    check(None, &more("set -60", "gap * 98 110 disconnected", "gap * 38 50 disconnected"));
    check(None, &more("set 60", "", "gap * 98 170 disconnected"));
}

/// A process that starts with a clock behind its predecessor's names what that one knew to be
/// missing.
#[test]
fn a_restart_behind_its_own_past_is_told_by_either_setting() {
    let script = r#"
        lost 170 190
        at 100
        gap * 170 190 restart
        want a
        up
        > 1 public/set_heartbeat {"interval":10}
        > 2 public/subscribe {"channels":["a"]}
        at 105
        < {"id":2,"result":["a"]}
        gap * 80 105 restart
    "#;
    check(None, script);
}

/// An attempt that fails before the clock is looked at does not count the setting twice.
#[test]
fn a_failed_attempt_behind_the_past_does_not_move_the_beginning() {
    let script = r#"
        at 99
        lost 170 190
        down x
        at 100
        gap * 170 191 restart
        want a
        up
        > 1 public/set_heartbeat {"interval":10}
        > 2 public/subscribe {"channels":["a"]}
        at 105
        < {"id":2,"result":["a"]}
        gap * 79 105 restart
    "#;
    check(None, script);
}
