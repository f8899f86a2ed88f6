//! Views that somebody made over tables of ours: set aside while a table changes, and made again
//! as they were, with their owners, grants, comments, indexes and triggers.

use tokio_postgres::{GenericClient, Row};

use super::catalog::Catalog;
use super::cost::Cost;
use super::plan::Plan;
use crate::postgres::error::DatabaseError;

/// A view, or a materialised one.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Its name, as people know it.
    pub(super) name: String,
    /// How it is removed.
    drop: String,
    /// How it is made again.
    make: String,
}

/// Removes the views, those first that are made of others.
pub(super) fn set_aside(views: &[View], name: &str, plan: &mut Plan) {
    if !views.is_empty() {
        let drops: Vec<_> = views.iter().rev().map(|view| view.drop.as_str()).collect();
        plan.push(format!("set aside the views of {name}: {}", names(views)), drops.join(";\n"));
    }
}

/// Makes them again. A materialised one is filled anew from rows of so many bytes.
pub(super) fn make_again(views: &[View], name: &str, bytes: u64, plan: &mut Plan) {
    if !views.is_empty() {
        let makes: Vec<_> = views.iter().map(|view| view.make.as_str()).collect();
        let filled = views.iter().any(|view| view.make.starts_with("CREATE MATERIALIZED"));
        plan.push_costly(
            format!("make the views of {name} again: {}", names(views)),
            makes.join(";\n"),
            if filled { Cost::Read(bytes) } else { Cost::Instant },
        );
    }
}

/// Reads which views there are of what relations, and what each takes to be made again. Names in
/// them are written out from here to the end of the transaction.
pub(super) async fn read(
    catalog: &mut Catalog,
    client: &impl GenericClient,
) -> Result<(), DatabaseError> {
    let failed =
        |error| DatabaseError::of("reading the definitions of the database's views".into(), error);
    let _ = client.query(WRITTEN_OUT, &[]).await.map_err(failed)?;
    let rows: Vec<Row> = client.query(VIEWS, &[]).await.map_err(failed)?;
    for row in rows {
        if let Some(relation) = catalog.relations.get_mut(row.get::<_, &str>(0)) {
            if row.get(1) {
                relation.aggregated = true;
            } else {
                let (name, drop, make) = (row.get(2), row.get(3), row.get(4));
                relation.views.push(View { name, drop, make });
            }
        }
    }
    Ok(())
}

fn names(views: &[View]) -> String {
    views.iter().map(|view| view.name.as_str()).collect::<Vec<_>>().join(", ")
}

const WRITTEN_OUT: &str = "SELECT set_config('search_path', 'pg_catalog', true)";
/// By relation, in an order in which they can be made. A view that TimescaleDB keeps is told from
/// the others by what it is made of, and is not followed.
const VIEWS: &str = r"
WITH RECURSIVE rules AS (
    SELECT r.ev_class AS view, d.refobjid AS used FROM pg_rewrite r JOIN pg_depend d
    ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
        AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
), kept AS (
    SELECT DISTINCT r.view FROM rules r JOIN pg_class v ON v.oid = r.view
    JOIN pg_class u ON u.oid = r.used
    WHERE '_timescaledb_internal' IN (v.relnamespace::regnamespace::text,
        u.relnamespace::regnamespace::text)
), uses AS (
    SELECT oid AS root, oid AS used, 0 AS depth FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'p')
    UNION SELECT u.root, r.view, u.depth + 1 FROM uses u JOIN rules r ON r.used = u.used
    WHERE u.depth < 32 AND u.used NOT IN (SELECT view FROM kept)
), found AS (
    SELECT root, used AS view, max(depth) AS depth FROM uses WHERE depth > 0 GROUP BY root, used
), named AS (
    SELECT f.root, f.depth, c.*, format('%I.%I', n.nspname, c.relname) AS full_name,
        CASE c.relkind WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'VIEW' END AS word,
        c.oid IN (SELECT view FROM kept) AS kept
    FROM found f JOIN pg_class c ON c.oid = f.view JOIN pg_namespace n ON n.oid = c.relnamespace
)
SELECT (SELECT relname::text FROM pg_class WHERE oid = v.root), v.kept, v.relname::text,
    format('DROP %s %s', v.word, v.full_name),
    concat_ws(E';\n',
        format('CREATE %s %s%s AS %s%s', v.word, v.full_name,
            ' WITH (' || array_to_string(v.reloptions, ', ') || ')',
            rtrim(pg_get_viewdef(v.oid), '; '),
            CASE WHEN NOT v.relispopulated THEN ' WITH NO DATA' END),
        (SELECT string_agg(pg_get_indexdef(indexrelid), E';\n' ORDER BY indexrelid)
            FROM pg_index WHERE indrelid = v.oid),
        (SELECT string_agg(pg_get_triggerdef(oid), E';\n' ORDER BY oid)
            FROM pg_trigger WHERE tgrelid = v.oid AND NOT tgisinternal),
        (SELECT string_agg(rtrim(pg_get_ruledef(oid), ';'), E';\n' ORDER BY oid)
            FROM pg_rewrite WHERE ev_class = v.oid AND rulename <> '_RETURN'),
        (SELECT string_agg(CASE d.objsubid
                WHEN 0 THEN format('COMMENT ON %s %s IS %L', v.word, v.full_name, d.description)
                ELSE format('COMMENT ON COLUMN %s.%I IS %L', v.full_name, a.attname,
                    d.description) END, E';\n')
            FROM pg_description d LEFT JOIN pg_attribute a
                ON a.attrelid = v.oid AND a.attnum = d.objsubid AND d.objsubid > 0
            WHERE d.objoid = v.oid AND d.classoid = 'pg_class'::regclass),
        format('ALTER %s %s OWNER TO %I', v.word, v.full_name, pg_get_userbyid(v.relowner)),
        'REVOKE ALL ON ' || v.full_name || ' FROM '
            || CASE WHEN v.relacl IS NOT NULL THEN quote_ident(pg_get_userbyid(v.relowner)) END,
        (SELECT string_agg(format('GRANT %s ON %s TO %s%s', g.privilege_type, v.full_name,
                CASE g.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' END), E';\n')
            FROM aclexplode(v.relacl) g),
        (SELECT string_agg(format('GRANT %s (%I) ON %s TO %s%s', g.privilege_type, a.attname,
                v.full_name, CASE g.grantee WHEN 0 THEN 'PUBLIC'
                    ELSE quote_ident(pg_get_userbyid(g.grantee)) END,
                CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' END), E';\n')
            FROM pg_attribute a, aclexplode(a.attacl) g WHERE a.attrelid = v.oid))
FROM named v ORDER BY v.root, v.depth, v.oid";
