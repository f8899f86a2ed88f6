//! What the live catalog says about tables: which columns they have, and of what type.

use std::collections::HashMap;

use tokio_postgres::{Client, Statement};

use super::column::{Column, SqlKind};
use super::error::DatabaseError;
use super::target::new_rows;

/// A relation of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Relation {
    /// What it is called: the name that was asked for, or, if that is a view over old and new rows,
    /// the table that takes the new ones.
    pub(super) name: String,
    /// `r` a table, `p` a partitioned one, `v` a view, as `pg_class.relkind` has it.
    pub(super) kind: String,
    /// Its columns that can be written.
    pub(super) columns: Vec<Column>,
}

impl Relation {
    /// The question, to be asked again and again in one session.
    pub(super) async fn question(client: &Client) -> Result<Statement, DatabaseError> {
        let failed = |error| DatabaseError::of("asking for the database's tables".into(), error);
        client.prepare(COLUMNS).await.map_err(failed)
    }

    /// Reads what is known of those names in the schema `public`, where tables are made. Which
    /// table takes the rows of a name is the database's word, so that it may change.
    pub(super) async fn read(
        client: &Client,
        question: &Statement,
        names: &[&str],
    ) -> Result<HashMap<String, Self>, DatabaseError> {
        let doing = || format!("reading what the database knows of {}", names.join(", "));
        let takers: Vec<String> = names.iter().map(|name| new_rows(name)).collect();
        let rows = client.query(question, &[&names, &takers]).await;
        let rows = rows.map_err(|error| DatabaseError::of(doing(), error))?;
        let mut relations: HashMap<String, Self> = HashMap::new();
        for row in rows {
            let relation = relations.entry(row.get("relation")).or_default();
            relation.name = row.get("taker");
            relation.kind = row.get("kind");
            // A generated column cannot be written, and is filled.
            if row.get("writable") {
                relation.columns.push(Column {
                    name: row.get("name"),
                    spelled: row.get("spelled"),
                    kind: SqlKind::of(row.get("type"), row.get("modifier")),
                    not_null: row.get("not_null"),
                    filled: row.get("filled"),
                });
            }
        }
        Ok(relations)
    }
}

const COLUMNS: &str = "\
    SELECT asked.name AS relation, c.relname::text AS taker, c.relkind::text AS kind, \
        a.attname::text AS name, \
        a.atttypid AS type, a.atttypmod AS modifier, \
        format_type(a.atttypid, a.atttypmod) AS spelled, a.attnotnull AS not_null, \
        a.atthasdef OR a.attidentity <> '' AS filled, \
        a.attgenerated = '' AND a.attidentity <> 'a' AS writable \
    FROM (SELECT DISTINCT * FROM unnest($1::text[], $2::text[])) AS asked (name, taker) \
        JOIN pg_namespace n ON n.nspname = 'public' \
        LEFT JOIN pg_class v ON v.relnamespace = n.oid AND v.relname = asked.name \
            AND v.relkind = 'v' \
        LEFT JOIN pg_class t ON t.relnamespace = n.oid AND t.relname = asked.taker \
            AND t.relkind IN ('r', 'p') AND v.oid IS NOT NULL \
        JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = coalesce(t.relname, asked.name) \
        JOIN pg_attribute a ON a.attrelid = c.oid \
    WHERE a.attnum > 0 AND NOT a.attisdropped \
    ORDER BY c.relname, a.attnum";
