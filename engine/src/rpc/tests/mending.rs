//! Missing trades asked for on the connection.

use super::check;

const UP: &str = r#"
    at 100
    want trades.A.100ms
    up
    > 1 public/set_heartbeat {"interval":10}
    > 2 public/subscribe {"channels":["trades.A.100ms"]}
    < {"id":2,"result":["trades.A.100ms"]}
    < {"id":1,"result":"ok"}
    ask A 5 7
    > 3 trades "A" 5 7 "asc"
"#;

#[test]
fn one_question_at_a_time() {
    let more = r#"
        ask B 9
        >
        < {"id":3,"result":{"trades":[{"trade_seq":5}],"has_more":true}}
        heard A answered Some(("[{\"trade_seq\":5}]", true))
        > 4 trades "B" 9 "asc"
        ask C
        < {"id":4,"result":{"has_more":false,"trades":[]}}
        > 5 trades "C" "desc"
        finish
        gap
    "#;
    check(None, &format!("{UP}{more}"));
}

/// Whatever becomes of a question, what is recorded goes on.
#[test]
fn a_question_without_an_answer_ends_nothing() {
    for (answer, heard) in [
        (r#"< {"id":3,"result":"nonsense"}"#, "A unanswered"),
        (r#"< {"id":3,"result":null}"#, "A unanswered"),
        (r#"< {"id":3,"error":{"code":10040,"message":"retry"}}"#, "A unanswered"),
        (r#"< {"id":3,"error":{"code":-32602,"message":"Invalid params"}}"#, "A answered None"),
    ] {
        check(None, &format!("{UP}{answer}\nheard {heard}\nack trades.A.100ms\nfinish\ngap"));
    }
    check(None, &format!("{UP}down gone\nheard A unanswered"));
}

#[test]
fn after_an_outage_every_channel_is_asked_after() {
    let more = r#"
        < {"id":3,"result":{"trades":[],"has_more":false}}
        at 110
        down gone
        at 120
        up
        > 4 public/set_heartbeat {"interval":10}
        > 5 public/subscribe {"channels":["trades.A.100ms"]}
        ask A 8
        >
        heard A answered Some(("[]", false))
        < {"id":5,"result":["trades.A.100ms"]}
        heard missed trades.A.100ms since 98
        > 6 trades "A" 8 "asc"
    "#;
    check(None, &format!("{UP}{more}"));
}

/// What an earlier process had not asked for is asked for once, when everything is acknowledged.
#[test]
fn after_a_restart_what_was_not_asked_for_is() {
    let text = r#"
        at 100
        want trades.A.100ms
        lost 90
        unasked 40
        up
        > 1 public/set_heartbeat {"interval":10}
        > 2 public/subscribe {"channels":["trades.A.100ms"]}
        < {"id":2,"result":["trades.A.100ms"]}
        heard missed trades.A.100ms since 40
        < {"id":1,"result":"ok"}
        at 110
        down gone
        at 120
        up
        > 3 public/set_heartbeat {"interval":10}
        > 4 public/subscribe {"channels":["trades.A.100ms"]}
        < {"id":4,"result":["trades.A.100ms"]}
        heard missed trades.A.100ms since 98
    "#;
    check(None, text);
}
