// A real TimescaleDB on PostgreSQL's wire protocol, for tests: node server.mjs FOLDER
//
// PGlite is PostgreSQL and TimescaleDB built to WebAssembly: one backend, in this process. This is
// the port that it lacks. Connections take turns, and one keeps the backend while it is in a
// transaction; their prepared statements are kept apart by name; what is copied in is collected
// and given to the backend in one call, since it cannot wait for more. Whoever asks is let in.
// It listens on a free port of the loopback and prints "ready PORT". FOLDER has the packages.

import { createRequire } from 'node:module';
import { createServer } from 'node:net';

const require = createRequire(`${process.argv[2]}/`);
const { PGlite } = require('@electric-sql/pglite');
const { timescaledb } = require('@electric-sql/pglite/timescaledb');

const RESET =
  'RESET ALL; SET search_path TO "$user", public; SET client_min_messages TO notice';
const SSL_REQUEST = 80877103;
const CANCEL_REQUEST = 80877102;
const GSS_REQUEST = 80877104;

const database = await PGlite.create({ extensions: { timescaledb } });
await database.exec(`CREATE EXTENSION timescaledb; ${RESET}`);
const { server_version: version } = (await database.query('SHOW server_version')).rows[0];

// Whose turn it is.
const turn = {
  owner: null,
  waiting: [],
  async take(connection) {
    if (this.owner === connection) return;
    if (this.owner) await new Promise((resolve) => this.waiting.push([connection, resolve]));
    else this.owner = connection;
  },
  pass(connection) {
    if (this.owner !== connection) return;
    const [next, resolve] = this.waiting.shift() ?? [null];
    this.owner = next;
    resolve?.();
  },
};

const int16 = (value) => [value >> 8, value & 255];
const int32 = (value) => [value >>> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255];
const text = (value) => Buffer.from(`${value}\0`);

function message(kind, ...parts) {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from(kind), Buffer.from(int32(body.length + 4)), body]);
}

// The text that begins at `at`, and where the next begins.
function read(bytes, at) {
  const end = bytes.indexOf(0, at);
  return [bytes.toString('utf8', at, end), end + 1];
}

function* messages(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const next = at + 1 + bytes.readInt32BE(at + 1);
    yield [String.fromCharCode(bytes[at]), bytes.subarray(at, next)];
    at = next;
  }
}

const copiesIn = (sql) => /^\s*COPY\b.*\bFROM\s+STDIN\b/is.test(sql ?? '');
const ready = message('Z', 'I');
const copyInResponse = (sql) => message('G', [/\bbinary\b/i.test(sql) ? 1 : 0], int16(0));

function greeting(id) {
  const parameters = {
    server_version: version,
    server_encoding: 'UTF8',
    client_encoding: 'UTF8',
    DateStyle: 'ISO, MDY',
    TimeZone: 'UTC',
    integer_datetimes: 'on',
    standard_conforming_strings: 'on',
  };
  const said = Object.entries(parameters).map(([name, is]) => message('S', text(name), text(is)));
  return [message('R', int32(0)), ...said, message('K', int32(id), int32(0)), ready];
}

let connections = 0;

class Connection {
  constructor(socket) {
    this.id = ++connections;
    this.socket = socket;
    this.received = Buffer.alloc(0);
    this.started = false;
    this.inTransaction = false;
    // Messages of the extended protocol that the backend has not been given yet.
    this.batch = [];
    // The SQL of each statement and portal.
    this.statements = new Map();
    this.portals = new Map();
    // A COPY that collects its data.
    this.copy = null;
    // What is to be done, in this order.
    this.done = Promise.resolve();
    socket.setNoDelay(true);
    socket.on('data', (bytes) => this.receive(bytes));
    socket.on('error', () => {});
    socket.on('close', () => this.then(() => this.leave()));
  }

  then(work) {
    this.done = this.done.then(work).catch((error) => {
      console.error(error);
      process.exit(1);
    });
  }

  // After what was asked before.
  answer(...parts) {
    this.then(() => this.socket.write(Buffer.concat(parts)));
  }

  receive(bytes) {
    this.received = Buffer.concat([this.received, bytes]);
    for (;;) {
      const header = this.started ? 1 : 0;
      if (this.received.length < header + 4) return;
      const length = header + this.received.readInt32BE(header);
      if (this.received.length < length) return;
      const whole = this.received.subarray(0, length);
      this.received = this.received.subarray(length);
      if (this.started) this.take(String.fromCharCode(whole[0]), whole);
      else this.start(whole.readInt32BE(4));
    }
  }

  start(code) {
    if (code === SSL_REQUEST || code === GSS_REQUEST) return this.answer(Buffer.from('N'));
    if (code === CANCEL_REQUEST) return this.socket.end();
    this.started = true;
    this.answer(...greeting(this.id));
  }

  // A statement's name, so that no other connection has it.
  own(name) {
    return text(name && `c${this.id}_${name}`);
  }

  take(kind, whole) {
    if (this.copy) return this.collect(kind, whole);
    switch (kind) {
      case 'X':
        return this.socket.end();
      case 'Q': {
        const [sql] = read(whole, 5);
        if (!copiesIn(sql)) return this.run([whole]);
        this.copy = { parts: [whole], asked: false, ended: false };
        return this.answer(copyInResponse(sql));
      }
      case 'P': {
        const [name, at] = read(whole, 5);
        this.statements.set(name, read(whole, at)[0]);
        return this.batch.push(message('P', this.own(name), whole.subarray(at)));
      }
      case 'B': {
        const [portal, middle] = read(whole, 5);
        const [name, at] = read(whole, middle);
        this.portals.set(portal, this.statements.get(name));
        return this.batch.push(
          message('B', this.own(portal), this.own(name), whole.subarray(at)),
        );
      }
      case 'D':
      case 'C': {
        const [name] = read(whole, 6);
        if (kind === 'C' && whole[5] === 'S'.charCodeAt(0)) this.statements.delete(name);
        return this.batch.push(message(kind, [whole[5]], this.own(name)));
      }
      case 'E': {
        const [portal, at] = read(whole, 5);
        this.batch.push(message('E', this.own(portal), whole.subarray(at)));
        const sql = this.portals.get(portal);
        if (!copiesIn(sql)) return;
        this.copy = { parts: this.batch.splice(0), asked: true, ended: false };
        return this.answer(message('2'), copyInResponse(sql));
      }
      case 'S':
      case 'H':
        return this.run([...this.batch.splice(0), whole]);
      default:
        // What follows a COPY that is over.
        return undefined;
    }
  }

  collect(kind, whole) {
    const { copy } = this;
    if ('dcf'.includes(kind)) copy.parts.push(whole);
    copy.ended ||= kind === 'c' || kind === 'f';
    if (!copy.ended || (copy.asked && kind !== 'S')) return;
    this.copy = null;
    if (copy.asked) copy.parts.push(whole);
    // These were answered when the data was asked for.
    this.run(copy.parts, copy.asked ? ['G', '2'] : ['G']);
  }

  run(parts, answered = []) {
    this.then(async () => {
      await turn.take(this);
      const said = Buffer.from(await database.execProtocolRaw(Buffer.concat(parts)));
      const kept = [];
      for (const [kind, whole] of messages(said)) {
        if (kind === 'Z') this.inTransaction = whole[5] !== 'I'.charCodeAt(0);
        if (!answered.includes(kind)) kept.push(whole);
      }
      if (!this.socket.destroyed) this.socket.write(Buffer.concat(kept));
      if (!this.inTransaction) turn.pass(this);
    });
  }

  async leave() {
    await turn.take(this);
    if (this.inTransaction) await database.exec('ROLLBACK');
    for (const name of this.statements.keys()) {
      if (name) await database.exec(`DEALLOCATE "c${this.id}_${name}"`).catch(() => {});
    }
    // What a session has set, ends with it.
    await database.exec(RESET);
    turn.pass(this);
  }
}

const server = createServer((socket) => new Connection(socket));
server.listen(0, '127.0.0.1', () => console.log(`ready ${server.address().port}`));
// Whoever started it holds the other end of its input, and takes it along.
process.stdin.on('end', () => process.exit(0)).resume();
