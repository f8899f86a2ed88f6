//! Books sampled beside what is recorded.

use super::check;

const SAMPLE: &str = r#"
    at 100
    sample
    want ticker.A.100ms
    up
    > 1 public/set_heartbeat {"interval":10}
    > 2 public/subscribe {"channels":["ticker.A.100ms"]}
    < {"id":2,"result":["ticker.A.100ms"]}
    < {"id":1,"result":"ok"}
    < {"method":"subscription","params":{"channel":"ticker.A.100ms","data":"t1"}}
    at 101
    > 3 public/subscribe {"channels":["book.A.none.20.100ms"]}
    >
    ack ticker.A.100ms
    reached yes
"#;

#[test]
fn a_window_is_subscribed_taken_once_and_let_go_without_a_gap() {
    let more = r#"
        < {"method":"subscription","params":{"channel":"book.A.none.20.100ms","data":"w1"}}
        < {"method":"subscription","params":{"channel":"book.A.none.20.100ms","data":"w2"}}
        < {"id":3,"result":["book.A.none.20.100ms"]}
        > 4 public/unsubscribe {"channels":["book.A.none.20.100ms"]}
        < {"method":"subscription","params":{"channel":"book.A.none.20.100ms","data":"w3"}}
        < {"id":4,"result":["book.A.none.20.100ms"]}
        heard ticker.A.100ms "t1"|sample book.A.none.20.100ms "w1"
        < {"method":"subscription","params":{"channel":"ticker.A.100ms","data":"t2"}}
        at 110
        >
        ack ticker.A.100ms
        reached yes
        finish
        gap
    "#;
    check(None, &format!("{SAMPLE}{more}"));
}

/// Whatever is wrong with a sample, what is recorded goes on.
#[test]
fn a_sample_that_is_refused_ends_nothing() {
    for code in [13_778, 13_009, -32_602, 13_028] {
        let more = format!(
            r#"
            < {{"id":3,"error":{{"code":{code},"message":"no"}}}}
            > 4 public/unsubscribe {{"channels":["book.A.none.20.100ms"]}}
            < {{"id":4,"error":{{"code":{code},"message":"no"}}}}
            at 102
            >
            at 106
            > 5 public/unsubscribe {{"channels":["book.A.none.20.100ms"]}}
            < {{"id":5,"result":[]}}
            ack ticker.A.100ms
            finish
            gap
        "#
        );
        check(None, &format!("{SAMPLE}{more}"));
    }
}

/// The tickers' gap is the only one, and tickers come first when the connection is back.
#[test]
fn a_connection_that_is_lost_while_it_samples_has_its_own_gap_alone() {
    let more = r#"
        down away
        at 103
        up
        > 4 public/set_heartbeat {"interval":10}
        > 5 public/subscribe {"channels":["ticker.A.100ms"]}
        at 104
        >
        < {"id":5,"result":["ticker.A.100ms"]}
        gap * 98 104 disconnected
        at 107
        > 6 public/subscribe {"channels":["book.A.none.20.100ms"]}
        gap
    "#;
    check(None, &format!("{SAMPLE}{more}"));
}

#[test]
fn what_is_new_on_the_tape_comes_before_samples() {
    let more = r#"
        < {"method":"subscription","params":{"channel":"book.A.none.20.100ms","data":"w1"}}
        < {"id":3,"result":["book.A.none.20.100ms"]}
        want ticker.A.100ms ticker.B.100ms
        > 4 public/subscribe {"channels":["ticker.B.100ms"]}
        > 5 public/unsubscribe {"channels":["book.A.none.20.100ms"]}
        < {"id":5,"result":["book.A.none.20.100ms"]}
        at 109
        >
        < {"id":4,"result":["ticker.B.100ms"]}
        < {"method":"subscription","params":{"channel":"ticker.B.100ms","data":"t1"}}
        at 112
        > 6 public/subscribe {"channels":["book.B.none.20.100ms"]}
        gap
    "#;
    check(None, &format!("{SAMPLE}{more}"));
}
