//! What the live catalog says about tables: which columns they have, and of what type.

use std::collections::HashMap;

use tokio_postgres::GenericClient;

use super::column::{Column, SqlKind};
use super::error::DatabaseError;

/// A relation of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Relation {
    /// `r` a table, `p` a partitioned one, `v` a view, as `pg_class.relkind` has it.
    pub(super) kind: String,
    /// Its columns that can be written.
    pub(super) columns: Vec<Column>,
}

impl Relation {
    /// Reads what is known of those names in the schema `public`, where tables are made.
    pub(super) async fn read(
        client: &impl GenericClient,
        names: &[&str],
    ) -> Result<HashMap<String, Self>, DatabaseError> {
        let doing = || format!("reading what the database knows of {}", names.join(", "));
        let rows = client.query(COLUMNS, &[&names]).await;
        let rows = rows.map_err(|error| DatabaseError::of(doing(), error))?;
        let mut relations: HashMap<String, Self> = HashMap::new();
        for row in rows {
            let relation = relations.entry(row.get("relation")).or_default();
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
    SELECT c.relname::text AS relation, c.relkind::text AS kind, a.attname::text AS name, \
        a.atttypid AS type, a.atttypmod AS modifier, \
        format_type(a.atttypid, a.atttypmod) AS spelled, a.attnotnull AS not_null, \
        a.atthasdef OR a.attidentity <> '' AS filled, \
        a.attgenerated = '' AND a.attidentity <> 'a' AS writable \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_attribute a ON a.attrelid = c.oid \
    WHERE n.nspname = 'public' AND c.relname = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped \
    ORDER BY c.relname, a.attnum";
