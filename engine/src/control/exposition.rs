//! Numbers in the text format of Prometheus.

use std::fmt::Write;

use super::hub::Hub;
use crate::metrics::{Counter, Line, State};

/// The format's content type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every number.
pub(super) fn text(hub: &Hub) -> String {
    let mut page = Page::default();
    shards(&mut page, hub);
    journal(&mut page, hub);
    sinks(&mut page, hub);
    let requests = &hub.requests;
    page.one(
        "control_requests_total",
        COUNTER,
        "Requests that were let in.",
        requests.admitted.get(),
    );
    let help = "Requests beyond what an address may make a second.";
    page.one("control_throttled_requests_total", COUNTER, help, requests.throttled.get());
    let help = "Connections to this API that were one too many.";
    page.one("control_refused_connections_total", COUNTER, help, requests.turned_away.get());
    let healthy = hub.health().all(&hub.names()).is_empty();
    page.one("healthy", GAUGE, "1 while /health says healthy.", u8::from(healthy));
    let started = hub.started.0 as f64 / 1e6;
    page.one("start_time_seconds", GAUGE, "When it started, Unix time.", started);
    page.head("build_info", GAUGE, "The program's version.");
    page.line("build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.text
}

fn shards(page: &mut Page, hub: &Hub) {
    type Get = fn(&Line) -> &Counter;
    let counters: [(&str, &str, &str, Get); 12] = [
        ("messages_total", COUNTER, "Messages received.", |line| &line.messages),
        ("received_bytes_total", COUNTER, "Bytes of messages received.", |line| &line.bytes),
        ("rows_total", COUNTER, "Rows made.", |line| &line.rows),
        ("quote_rows_total", COUNTER, "Rows of quotes made.", |line| &line.quotes),
        ("trade_rows_total", COUNTER, "Rows of trades made.", |line| &line.trades),
        ("book_rows_total", COUNTER, "Rows of books made.", |line| &line.depths),
        ("connection_attempts_total", COUNTER, "Connections tried.", |line| &line.attempts),
        ("connections_opened_total", COUNTER, "Connections made.", |line| &line.opened),
        ("connections_lost_total", COUNTER, "Connections lost.", |line| &line.lost),
        ("channels_wanted", GAUGE, "Channels to listen to.", |line| &line.goal),
        ("channels_acknowledged", GAUGE, "Channels that the exchange has acknowledged.", |line| {
            &line.acknowledged
        }),
        ("channels_refused", GAUGE, "Channels that the exchange refuses.", |line| &line.refused),
    ];
    for (name, kind, help, get) in counters {
        page.head(name, kind, help);
        for shard in &hub.sources.shards {
            page.line(name, &[("shard", &shard.line.shard)], get(&shard.line).get());
        }
    }
    page.head("connected", GAUGE, "1 while the connection is open.");
    for shard in &hub.sources.shards {
        let connected = u8::from(shard.line.state() != State::Connecting);
        page.line("connected", &[("shard", &shard.line.shard)], connected);
    }
    let name = "last_message_timestamp_seconds";
    page.head(name, GAUGE, "When the newest message came, Unix time.");
    for shard in &hub.sources.shards {
        if let Some(at) = shard.line.last_message() {
            page.line(name, &[("shard", &shard.line.shard)], at.0 as f64 / 1e6);
        }
    }
}

fn journal(page: &mut Page, hub: &Hub) {
    let kept = &hub.sources.kept;
    page.one("journal_rows_total", COUNTER, "Rows that the journal was given.", kept.rows.get());
    let help = "The journal's last durable record.";
    page.one("journal_durable_records", GAUGE, help, kept.durable.get());
    if let Some(through) = hub.through() {
        let help = "Up to when everything received is durable, Unix time.";
        page.one("journal_durable_timestamp_seconds", GAUGE, help, through.0 as f64 / 1e6);
    }
    page.one("gaps_total", COUNTER, "Rows of data_gaps.", kept.recent.noted().1);
    let usage = hub.sources.inlet.usage_pct() / 100.0;
    page.one("queue_usage_ratio", GAUGE, "How full the queue to the journal is.", usage);
}

fn sinks(page: &mut Page, hub: &Hub) {
    type Get = fn(&crate::worker::Progress) -> &Counter;
    let counters: [(&str, &str, &str, Get); 3] = [
        ("sink_accepted_records", GAUGE, "The last record that the sink has taken.", |it| {
            &it.accepted
        }),
        ("sink_durable_records", GAUGE, "The last record that is durable in the sink.", |it| {
            &it.durable
        }),
        ("sink_retries_total", COUNTER, "Times that the sink was opened again.", |it| &it.retries),
    ];
    for (name, kind, help, get) in counters {
        page.head(name, kind, help);
        for (sink, progress) in &hub.sources.sinks {
            page.line(name, &[("sink", sink)], get(progress).get());
        }
    }
}

/// Lines of text.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.text, "# HELP tapedeck_{name} {help}\n# TYPE tapedeck_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let _ = write!(self.text, "tapedeck_{name}");
        for (place, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{}{label}=\"{text}\"", if place == 0 { '{' } else { ',' });
        }
        let end = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.text, "{end} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::default();
        page.head("a_total", COUNTER, "What it is.");
        page.line("a_total", &[("shard", "x\"y\\z\n"), ("b", "c")], 3);
        page.one("b_ratio", GAUGE, "How much.", 0.5);
        let expected = "# HELP tapedeck_a_total What it is.\n# TYPE tapedeck_a_total counter\n\
                        tapedeck_a_total{shard=\"x\\\"y\\\\z\\n\",b=\"c\"} 3\n\
                        # HELP tapedeck_b_ratio How much.\n# TYPE tapedeck_b_ratio gauge\n\
                        tapedeck_b_ratio 0.5\n";
        assert_eq!(page.text, expected);
    }
}
