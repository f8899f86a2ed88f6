//! How deeply JSON is nested.
//!
//! sonic-rs 0.5 skips values by recursion without a bound (`Parser::skip_one`), so that a frame
//! of half a million `[` overflows the stack and ends the process. Foreign text therefore passes
//! here first.

/// Whether some object or array lies more than `depth` levels deep. Brackets in texts are not
/// told from real ones while their number is small; exact beyond that.
#[must_use]
pub fn deeper_than(depth: usize, json: &str) -> bool {
    // Almost every message has fewer brackets than the bound: this loop is one vector count.
    let brackets = json.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    brackets > depth && deepest(json) > depth
}

fn deepest(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut escaped) = (false, false);
    for byte in json.bytes() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_text = true,
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, depth: usize) {
        assert!(!deeper_than(depth, json), "{json} is at most {depth} deep");
        assert!(deeper_than(depth - 1, json), "{json} is {depth} deep");
    }

    #[test]
    fn depth_is_counted_outside_texts() {
        check("[]", 1);
        check(r#"{"a":[1,[2],[3],[4],[5]]}"#, 3);
        check(r#"[["[[[[\"[[[","{{{"],[],[]]"#, 2);
        check(&"[".repeat(100_000), 100_000);
    }
}
