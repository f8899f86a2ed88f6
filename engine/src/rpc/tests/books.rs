//! Books whose chain of changes breaks.

use super::check;

const BOOK: &str = r#"
    at 100
    want book.X.100ms t
    up
    > 1 public/set_heartbeat {"interval":10}
    > 2 public/subscribe {"channels":["book.X.100ms","t"]}
    < {"id":2,"result":["book.X.100ms","t"]}
    < {"id":1,"result":"ok"}
    at 101
    < {"method":"subscription","params":{"channel":"book.X.100ms","data":"broken"}}
    gap X 100 -1 book_chain
    at 102
    > 3 public/unsubscribe {"channels":["book.X.100ms"]}
    ack t
    reached no
"#;

#[test]
fn a_broken_book_alone_begins_anew() {
    let more = r#"
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"late"}}
        < {"id":3,"result":["book.X.100ms"]}
        > 4 public/subscribe {"channels":["book.X.100ms"]}
        at 103
        < {"id":4,"result":["book.X.100ms"]}
        gap
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"begun"}}
        gap X 100 103 book_chain
        ack book.X.100ms t
        reached yes
        at 104
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"broken"}}
        gap X 100 -1 book_chain
        at 105
        >
        at 109
        > 5 public/unsubscribe {"channels":["book.X.100ms"]}
    "#;
    check(None, &format!("{BOOK}{more}"));
}

#[test]
fn a_book_whose_snapshot_is_lost_begins_anew_again() {
    let more = r#"
        < {"id":3,"result":[]}
        > 4 public/subscribe {"channels":["book.X.100ms"]}
        < {"id":4,"result":["book.X.100ms"]}
        at 111
        >
        at 112
        > 5 public/unsubscribe {"channels":["book.X.100ms"]}
        gap
        finish
        gap X 100 112 book_chain
    "#;
    check(None, &format!("{BOOK}{more}"));
}

/// The gap of the connection does not wait for the book, and the book's own goes on.
#[test]
fn a_book_that_breaks_in_a_gap_has_its_own() {
    let more = r#"
        at 110
        down bye
        at 111
        up
        > 4 public/set_heartbeat {"interval":10}
        > 5 public/subscribe {"channels":["book.X.100ms","t"]}
        < {"id":5,"result":["book.X.100ms","t"]}
        gap * 98 111 disconnected
        gap
        at 112
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"begun"}}
        gap X 100 112 book_chain
        gap
    "#;
    check(None, &format!("{BOOK}{more}"));
}

#[test]
fn a_broken_book_that_nobody_wants_is_no_gap() {
    let more = r#"
        want t
        at 103
        gap X 100 103 book_chain
        < {"id":3,"result":["book.X.100ms"]}
        >
        reached yes
        gap
    "#;
    check(None, &format!("{BOOK}{more}"));
}

/// The subscription that ends may still send the whole book: a chain that nothing follows.
#[test]
fn a_whole_book_of_the_subscription_that_ends_mends_nothing() {
    let more = r#"
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"begun"}}
        gap
        < {"id":3,"result":["book.X.100ms"]}
        > 4 public/subscribe {"channels":["book.X.100ms"]}
        at 103
        < {"id":4,"result":["book.X.100ms"]}
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"begun"}}
        gap X 100 103 book_chain
    "#;
    check(None, &format!("{BOOK}{more}"));
}

#[test]
fn a_book_that_mends_itself_is_not_asked_for() {
    let asked = "    > 3 public/unsubscribe";
    let more = r#"
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"broken"}}
        gap
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"begun"}}
        gap X 100 102 book_chain
        >
        reached yes
    "#;
    let (before, _) = BOOK.split_once(asked).unwrap();
    check(None, &format!("{before}{more}"));
}

/// What was lost lies in the gap by the exchange's clock and by ours, however that was set.
#[test]
fn a_book_that_breaks_when_the_clock_was_set_back_has_a_gap_by_either_clock() {
    let (before, _) = BOOK.split_once("    at 101").unwrap();
    let more = r#"
        set -50
        at 101
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"broken 101"}}
        gap X 49 -1 book_chain
        at 103
        < {"method":"subscription","params":{"channel":"book.X.100ms","data":"begun 103"}}
        gap X 49 103 book_chain
    "#;
    check(None, &format!("{before}{more}"));
    let (broken, _) = more.split_once("        at 103").unwrap();
    check(None, &format!("{before}{broken}        finish\n        gap X 49 101 book_chain\n"));
}
