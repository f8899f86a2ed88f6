//! Every judgement meets invented evidence that confirms it, and some that does not.

mod cases;
mod invented;

use std::collections::BTreeSet;

use super::*;
use cases::Case;
use invented::Invented;

#[test]
fn every_judgement_is_met_both_ways() {
    let (mut confirmed, mut different) = (BTreeSet::new(), BTreeSet::new());
    for Case { id, verdict, seen, evidence } in cases::all() {
        let finding = fact(id).judge(&evidence.0);
        let said = format!("{id}: {:?} {}", finding.verdict, finding.seen);
        assert_eq!(finding.verdict, verdict, "{said}");
        assert!(finding.seen.contains(seen), "{said} lacks {seen:?}");
        match verdict {
            Verdict::Confirmed => _ = confirmed.insert(id),
            Verdict::Different => _ = different.insert(id),
            Verdict::NotSeen | Verdict::NotTried => {}
        }
    }
    assert_eq!(missing(&confirmed, &[]), [] as [&str; 0]);
    // Nobody says that it must happen: what does not is not seen.
    assert_eq!(missing(&different, &["ticker-twice"]), [] as [&str; 0]);
}

/// The facts that can be tried but were not met.
fn missing(met: &BTreeSet<&str>, excused: &[&str]) -> Vec<&'static str> {
    let never = ["quota", "connections", "slow-reader", "deflate"];
    let mut ids: Vec<_> = all().iter().map(|fact| fact.id).collect();
    ids.retain(|id| !met.contains(id) && !excused.contains(id) && !never.contains(id));
    ids
}

#[test]
fn without_evidence_nothing_is_confirmed_or_refuted() {
    let empty = Invented::new();
    for fact in all() {
        let finding = fact.judge(&empty.0);
        let told = [Verdict::NotSeen, Verdict::NotTried].contains(&finding.verdict);
        assert!(told && !finding.seen.is_empty(), "{} is {:?}", fact.id, finding.verdict);
    }
}

#[test]
fn ids_are_unique() {
    let ids: BTreeSet<_> = all().iter().map(|fact| fact.id).collect();
    assert_eq!(ids.len(), all().len());
}

fn fact(id: &str) -> Fact {
    all().into_iter().find(|fact| fact.id == id).expect("a fact of this name")
}
