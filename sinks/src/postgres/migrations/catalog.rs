//! What the database says about itself: the facts that a plan is made from.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::{GenericClient, Row};

use super::steps::LEDGER_TABLE;
use super::views::{self, View};
use super::{READER, WRITER, beside, storage};
use crate::postgres::error::DatabaseError;

/// The facts, as of one moment.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// The server's version as a number: 150008.
    pub(super) server: i32,
    /// What there is of TimescaleDB in this database.
    pub(super) timescale: Option<Timescale>,
    /// Tables and views of the schema `public`.
    pub(super) relations: BTreeMap<String, Relation>,
    /// Indexes of the schema `public`.
    pub(super) indexes: BTreeSet<String>,
    /// Migrations that were applied.
    pub(super) applied: Vec<Applied>,
    /// The newest of them, and the oldest program that can use what it made.
    pub(super) version: Option<(i32, i32)>,
    /// Policies that TimescaleDB carries out.
    pub(super) policies: Vec<Policy>,
    /// Which of our roles there are, and what they may not do yet.
    pub(super) roles: Vec<Role>,
}

/// TimescaleDB.
#[derive(Debug)]
pub(super) struct Timescale {
    pub(super) version: String,
    /// Whether it is the edition that compresses, and keeps aggregates and policies.
    pub(super) community: bool,
    /// Where its functions are.
    pub(super) schema: String,
}

/// A table or a view.
#[derive(Debug)]
pub(super) struct Relation {
    pub(super) kind: RelationKind,
    pub(super) columns: Vec<Column>,
    /// What must be unique in it.
    pub(super) keys: Vec<Key>,
    pub(super) hypertable: Option<Hypertable>,
    /// Whether a table of ours that could be a hypertable is a plain one with rows.
    pub(super) heaped: bool,
    /// What gives another relation its owner and grants; its name is left open (`PLACE`).
    pub(super) access: String,
    /// Views of it, and of those, in an order in which they can be made.
    pub(super) views: Vec<View>,
    /// Whether TimescaleDB keeps an aggregate of it.
    pub(super) aggregated: bool,
    /// What its rows take on the disk, as they would without compression. Only a dry run asks.
    pub(super) bytes: u64,
    /// Its chunks. Only a dry run asks.
    pub(super) chunks: Option<Chunks>,
    /// Triggers of ours on it, in SQL that makes them; its name is left open (`PLACE`).
    pub(super) triggers: Vec<Trigger>,
    /// Sequences that go when it goes, and the columns they count for.
    pub(super) sequences: Vec<(String, String)>,
}

/// What a relation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RelationKind {
    Table,
    View,
    /// A partitioned or foreign table, a materialised view.
    Other,
}

/// A column that is there.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    /// Its type as the server spells it.
    pub(super) spelled: String,
    pub(super) not_null: bool,
    /// Whether a row that does not name it gets a value.
    pub(super) filled: bool,
    /// Its default in SQL, unless it counts by itself.
    pub(super) default: Option<String>,
}

/// A trigger of ours.
#[derive(Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    /// How it is made.
    pub(super) make: String,
}

/// A unique index.
#[derive(Debug)]
pub(super) struct Key {
    pub(super) name: String,
    /// Whether a constraint owns it.
    pub(super) constraint: bool,
    pub(super) columns: Vec<String>,
}

/// What makes a table a hypertable.
#[derive(Debug)]
pub(super) struct Hypertable {
    pub(super) compressed: bool,
}

/// The chunks of a hypertable that has some.
#[derive(Debug)]
pub(super) struct Chunks {
    pub(super) count: u64,
    /// What the largest takes without compression.
    pub(super) bytes_max: u64,
}

/// A migration that was applied.
#[derive(Debug)]
pub(super) struct Applied {
    pub(super) version: i32,
    pub(super) scope: String,
    pub(super) checksum: String,
    pub(super) program: String,
}

/// A policy on a table or on an aggregate.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) table: String,
    pub(super) procedure: String,
    /// Its age in seconds: for a refresh, how far it looks back.
    pub(super) seconds: Option<i64>,
}

/// One of our roles.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) name: &'static str,
    /// Tables of ours that it may not read, or the writer not write.
    pub(super) denied: BTreeSet<String>,
}

impl Catalog {
    /// Asks.
    pub(super) async fn read(client: &impl GenericClient) -> Result<Self, DatabaseError> {
        let mut catalog = Self::default();
        let server = ask(client, SERVER).await?;
        for row in &server {
            catalog.server = row.get(0);
            catalog.timescale = row.get::<_, Option<String>>(1).map(|version| Timescale {
                version,
                schema: row.get(2),
                community: row.get::<_, Option<&str>>(3) == Some("timescale"),
            });
        }
        for row in ask(client, &RELATIONS.replace("PLACE", beside::PLACE)).await? {
            let kind = match row.get(1) {
                "r" => RelationKind::Table,
                "v" => RelationKind::View,
                _ => RelationKind::Other,
            };
            catalog.relations.insert(row.get(0), Relation::new(kind, row.get(2)));
        }
        for row in ask(client, COLUMNS).await? {
            if let Some(relation) = catalog.relations.get_mut(row.get::<_, &str>(0)) {
                relation.columns.push(Column {
                    name: row.get(1),
                    spelled: row.get(2),
                    not_null: row.get(3),
                    filled: row.get(4),
                    default: row.get(5),
                });
            }
        }
        for row in ask(client, KEYS).await? {
            if let Some(relation) = catalog.relations.get_mut(row.get::<_, &str>(0)) {
                let (name, constraint, columns) = (row.get(1), row.get(2), row.get(3));
                relation.keys.push(Key { name, constraint, columns });
            }
        }
        for row in ask(client, &TRIGGERS.replace("PLACE", beside::PLACE)).await? {
            if let Some(relation) = catalog.relations.get_mut(row.get::<_, &str>(0)) {
                relation.triggers.push(Trigger { name: row.get(1), make: row.get(2) });
            }
        }
        for row in ask(client, SEQUENCES).await? {
            if let Some(relation) = catalog.relations.get_mut(row.get::<_, &str>(0)) {
                relation.sequences.push((row.get(1), row.get(2)));
            }
        }
        catalog.indexes = ask(client, INDEXES).await?.iter().map(|row| row.get(0)).collect();
        if catalog.timescale.is_some() {
            catalog.read_timescale(client).await?;
        }
        if catalog.relations.contains_key(LEDGER_TABLE) {
            catalog.read_ledger(client).await?;
        }
        catalog.read_roles(client).await?;
        // Last: it changes what unqualified names mean.
        views::read(&mut catalog, client).await?;
        Ok(catalog)
    }

    async fn read_timescale(&mut self, client: &impl GenericClient) -> Result<(), DatabaseError> {
        for row in ask(client, HYPERTABLES).await? {
            if let Some(relation) = self.relations.get_mut(row.get::<_, &str>(0)) {
                relation.hypertable = Some(Hypertable { compressed: row.get(1) });
            }
        }
        for row in ask(client, POLICIES).await? {
            let (table, procedure, seconds) = (row.get(0), row.get(1), row.get(2));
            self.policies.push(Policy { table, procedure, seconds });
        }
        for (name, relation) in &mut self.relations {
            let plain = relation.kind == RelationKind::Table && relation.hypertable.is_none();
            if plain && storage::is_cut(name) {
                let rows = format!("SELECT FROM {name} LIMIT 1");
                relation.heaped = !ask(client, &rows).await?.is_empty();
            }
        }
        Ok(())
    }

    /// Asks how large tables are. The server opens each for that, and waits for whoever holds it.
    pub(super) async fn measure(
        &mut self,
        client: &impl GenericClient,
    ) -> Result<(), DatabaseError> {
        for row in ask(client, SIZES).await? {
            if let Some(relation) = self.relations.get_mut(row.get::<_, &str>(0)) {
                relation.bytes = count(&row, 1);
            }
        }
        let before = match &self.timescale {
            Some(timescale) if timescale.community => {
                BEFORE_COMPRESSION.replace("SCHEMA", &timescale.schema)
            }
            Some(_) => NEVER_COMPRESSED.to_owned(),
            None => return Ok(()),
        };
        for row in ask(client, &CHUNKS.replace("BEFORE", &before)).await? {
            if let Some(relation) = self.relations.get_mut(row.get::<_, &str>(0)) {
                relation.bytes = count(&row, 2);
                let (count, bytes_max) = (count(&row, 1), count(&row, 3));
                relation.chunks = Some(Chunks { count, bytes_max });
            }
        }
        Ok(())
    }

    async fn read_ledger(&mut self, client: &impl GenericClient) -> Result<(), DatabaseError> {
        for row in ask(client, APPLIED).await? {
            self.applied.push(Applied {
                version: row.get(0),
                scope: row.get(1),
                checksum: row.get(2),
                program: row.get(3),
            });
        }
        let version = ask(client, VERSION).await?;
        self.version = version.first().map(|row| (row.get(0), row.get(1)));
        Ok(())
    }

    async fn read_roles(&mut self, client: &impl GenericClient) -> Result<(), DatabaseError> {
        for (name, privilege) in [(READER, "SELECT"), (WRITER, "INSERT")] {
            let role = format!("SELECT FROM pg_roles WHERE rolname = '{name}'");
            if ask(client, &role).await?.is_empty() {
                continue;
            }
            let denied = format!(
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace \
                 AND relkind IN ('r', 'v') \
                 AND NOT has_table_privilege('{name}', oid, '{privilege}')"
            );
            let denied = ask(client, &denied).await?.iter().map(|row| row.get(0)).collect();
            self.roles.push(Role { name, denied });
        }
        Ok(())
    }

    /// Whether TimescaleDB is there with all that we use.
    pub(super) fn compresses(&self) -> bool {
        self.timescale.as_ref().is_some_and(|timescale| timescale.community)
    }

    /// Whether the migration was applied in this scope.
    pub(super) fn has(&self, version: i32, scope: &str) -> Option<&Applied> {
        self.applied.iter().find(|applied| applied.version == version && applied.scope == scope)
    }
}

impl Timescale {
    /// Whether it is this version (major, minor) or a later one.
    pub(super) fn is_at_least(&self, version: (u32, u32)) -> bool {
        let mut numbers = self.version.split('.').map(|number| number.parse().unwrap_or(0));
        let mut number = || numbers.next().unwrap_or(0);
        (number(), number()) >= version
    }
}

impl Relation {
    fn new(kind: RelationKind, access: String) -> Self {
        Self {
            kind,
            columns: Vec::new(),
            keys: Vec::new(),
            hypertable: None,
            heaped: false,
            access,
            views: Vec::new(),
            aggregated: false,
            bytes: 0,
            chunks: None,
            triggers: Vec::new(),
            sequences: Vec::new(),
        }
    }

    pub(super) fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name == name)
    }
}

/// A size or a count, which the server has signed.
pub(super) fn count(row: &Row, column: usize) -> u64 {
    row.get::<_, i64>(column).try_into().unwrap_or(0)
}

async fn ask(client: &impl GenericClient, question: &str) -> Result<Vec<Row>, DatabaseError> {
    let answer = client.query(question, &[]).await;
    answer.map_err(|error| DatabaseError::of("reading the database's catalog".into(), error))
}

const SERVER: &str = "SELECT current_setting('server_version_num')::int, e.extversion, \
    e.extnamespace::regnamespace::text, current_setting('timescaledb.license', true) \
    FROM (SELECT) AS one LEFT JOIN pg_extension e ON e.extname = 'timescaledb'";
const RELATIONS: &str = "SELECT relname::text, relkind::text, concat_ws(E';\n', \
    format('ALTER TABLE PLACE OWNER TO %I', pg_get_userbyid(relowner)), \
    (SELECT string_agg(format('GRANT %s ON PLACE TO %s%s', privilege_type, \
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END, \
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END), E';\n') FROM aclexplode(relacl)))\
    FROM pg_class WHERE relnamespace = 'public'::regnamespace \
    AND relkind IN ('r', 'p', 'v', 'm', 'f')";
const COLUMNS: &str = "SELECT c.relname::text, a.attname::text, \
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.atthasdef OR a.attidentity <> '', \
    CASE a.attgenerated WHEN '' THEN pg_get_expr(d.adbin, d.adrelid) END FROM pg_attribute a \
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
    JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace \
    AND c.relkind IN ('r', 'v') AND a.attnum > 0 AND NOT a.attisdropped \
    ORDER BY c.relname, a.attnum";
const KEYS: &str = "SELECT t.relname::text, i.relname::text, k.oid IS NOT NULL, ARRAY(\
    SELECT a.attname::text FROM pg_attribute a \
    WHERE a.attrelid = t.oid AND a.attnum = ANY (x.indkey)) \
    FROM pg_index x JOIN pg_class t ON t.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid \
    LEFT JOIN pg_constraint k ON k.conindid = i.oid AND k.conrelid = t.oid \
    AND k.contype IN ('p', 'u') \
    WHERE t.relnamespace = 'public'::regnamespace AND x.indisunique";
const TRIGGERS: &str = "SELECT c.relname::text, t.tgname::text, \
    replace(pg_get_triggerdef(t.oid), format(' ON public.%I ', c.relname), ' ON PLACE ') \
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
    WHERE c.relnamespace = 'public'::regnamespace AND t.tgname ~ '^tapedeck_'";
const SEQUENCES: &str = "SELECT c.relname::text, s.oid::regclass::text, a.attname::text \
    FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
    JOIN pg_class c ON c.oid = d.refobjid \
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid \
    WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'a' \
    AND c.relnamespace = 'public'::regnamespace";
const INDEXES: &str = "SELECT relname::text FROM pg_class \
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'i'";
const HYPERTABLES: &str = "SELECT hypertable_name::text, compression_enabled \
    FROM timescaledb_information.hypertables WHERE hypertable_schema = 'public'";
const SIZES: &str = "SELECT relname::text, coalesce(pg_table_size(oid), 0) FROM pg_class \
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
const CHUNKS: &str = "SELECT hypertable_name::text, count(*), sum(bytes)::bigint, \
    max(bytes)::bigint FROM (SELECT c.hypertable_name, coalesce(pg_table_size(to_regclass(\
            format('%I.%I', c.chunk_schema, c.chunk_name))), 0) + coalesce(b.bytes, 0) AS bytes \
        FROM timescaledb_information.chunks c LEFT JOIN (BEFORE) AS b \
            ON b.chunk_schema = c.chunk_schema AND b.chunk_name = c.chunk_name \
        WHERE c.hypertable_schema = 'public') AS one GROUP BY 1";
const BEFORE_COMPRESSION: &str = "SELECT s.chunk_schema, s.chunk_name, \
    s.before_compression_table_bytes + s.before_compression_toast_bytes AS bytes \
    FROM timescaledb_information.hypertables h, LATERAL SCHEMA.chunk_compression_stats(\
        format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass) s \
    WHERE h.hypertable_schema = 'public' AND h.compression_enabled";
const NEVER_COMPRESSED: &str =
    "SELECT NULL::name AS chunk_schema, NULL::name AS chunk_name, NULL::bigint AS bytes";
/// Versions differ in whether an aggregate's policies are under its own name.
const POLICIES: &str = "SELECT coalesce(a.view_name, j.hypertable_name)::text, proc_name::text, \
    extract(epoch FROM coalesce(config ->> 'compress_after', config ->> 'drop_after', \
        config ->> 'start_offset')::interval)::bigint \
    FROM timescaledb_information.jobs j LEFT JOIN timescaledb_information.continuous_aggregates a \
        ON a.materialization_hypertable_schema = j.hypertable_schema \
        AND a.materialization_hypertable_name = j.hypertable_name \
    WHERE coalesce(a.view_schema, j.hypertable_schema) = 'public' AND proc_name IN (\
        'policy_compression', 'policy_retention', 'policy_refresh_continuous_aggregate')";
const APPLIED: &str = "SELECT version, scope, checksum, program FROM tapedeck_migrations \
    ORDER BY version, scope";
const VERSION: &str = "SELECT version, readable_from FROM tapedeck_schema";
