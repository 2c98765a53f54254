// Many editors in several songs of a cluster, each over a real socket.io-client. One that loses its
// connection, or does not get one, goes on to the next of its URLs, as a balancer would send it.
// Each operation carries a token that no other has, so that it is known wherever it turns up.
// Told what to do by JSON lines on stdin; see `commands`. Every command answers a JSON line.
'use strict';
const readline = require('node:readline');
const { io } = require('socket.io-client');
const { apply, canonical, compose, difference, fromWire, toWire, transform } = require('./transform');

const PIECES = ['a', 'la ', '[Am]', '[G7]', '\n', '{title: x}\n', 'é', '♭', '🎸', '😀'];
const LONG = 1500;
const SHORT = 1000;

// Numbers between 0 and 1 that a seed leads to (mulberry32).
function numbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let n = Math.imul(state ^ (state >>> 15), state | 1);
    n ^= n + Math.imul(n ^ (n >>> 7), n | 61);
    return ((n ^ (n >>> 14)) >>> 0) / 2 ** 32;
  };
}

let random = Math.random;
const die = (sides) => Math.floor(random() * sides);

const isTail = (text, at) => /[\udc00-\udfff]/.test(text[at] ?? '') && /[\ud800-\udbff]/.test(text[at - 1] ?? '');
const whole = (text, at) => (isTail(text, at) ? at - 1 : at);
const anywhere = (text) => whole(text, die(text.length + 1));

// A piece more, a character less, or, of a long text, a part less.
function anyEdit(text) {
  const at = anywhere(text);
  if (text.length <= LONG && die(3)) return canonical([at, PIECES[die(PIECES.length)]]);
  const count = text.length > LONG ? Math.min(100, text.length - SHORT) : 1;
  const end = whole(text, Math.min(at + count, text.length));
  return canonical([at, at - (end > at || end === text.length ? end : at + 2)]);
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

class Editor {
  constructor({ urls, room, token, client_id: clientId, transports }) {
    Object.assign(this, { urls, room, clientId });
    this.text = this.synced = '';
    this.revision = null;
    this.seq = this.tokens = this.at = 0;
    this.out = this.buffer = this.token = this.sent = null;
    this.joined = this.waiting = this.gone = false;
    this.acknowledged = [];
    this.problems = [];
    this.refused = {};
    this.present = new Set();
    this.presence = [];
    this.counted = null;
    this.resends = this.states = this.rewinds = this.connects = 0;
    this.socket = io(urls[0], {
      forceNew: true, reconnectionDelay: 50, reconnectionDelayMax: 300, timeout: 3000,
      transports, auth: { token, client_id: clientId },
    });
    const { socket } = this;
    socket.on('connect', () => { this.connects += 1; });
    socket.on('connect_error', () => this.next());
    socket.on('disconnect', (reason) => {
      this.joined = this.waiting = false;
      if (this.gone) return;
      if (!socket.active) this.problems.push({ disconnect: reason });
      this.next();
    });
    socket.on('authenticated', () => this.join());
    socket.on('auth_error', (error) => this.problems.push({ auth_error: error }));
    socket.on('error', (error) => this.refuse(error));
    socket.on('collaboration_update', (update) => this.joined && this.hear(update));
    socket.on('document_state', (state) => this.replace(state));
    socket.on('user_joined', (user) => { this.present.add(String(user.user_id)); this.count(user, '+'); });
    socket.on('user_left', (user) => { this.present.delete(String(user.user_id)); this.count(user, '-'); });
    socket.on('room_left', (left) => { this.refuse({ code: `room_left: ${left.reason}` }); this.join(); });
  }

  next() {
    this.at += 1;
    this.socket.io.uri = this.urls[this.at % this.urls.length];
  }

  refuse({ code = '?' }) { this.refused[code] = (this.refused[code] ?? 0) + 1; }

  count({ participant_count: count, user_id: userId }, how) {
    this.counted = count;
    this.presence.push(how ? `${how}${userId} (${count})` : `= ${[...this.present].join()} (${count})`);
  }

  // Go on later, unless the connection is another by then.
  later(answer, go) {
    const { id } = this.socket;
    setTimeout(() => this.socket.id === id && go(), Math.min(answer.retry_after_ms ?? 100, 1000));
  }

  join() {
    const have = this.revision === null ? { document: true } : { revision: this.revision };
    const { id } = this.socket;
    this.joined = this.waiting = false;
    this.socket.emit('join_room', { room_id: this.room, ...have }, (answer) => {
      if (id !== this.socket.id || this.gone) return;
      if (!answer.ok) {
        this.refuse(answer);
        this.later(answer, () => this.join());
        return;
      }
      this.present = new Set(answer.participants.map((one) => String(one.user_id)));
      this.count(answer);
      if (answer.resync) return;  // document_state follows
      if (answer.document) {
        this.text = this.synced = answer.document.text;
        this.revision = answer.revision;
      }
      this.joined = true;
      for (const update of answer.operations ?? []) this.hear(update);
      if (this.revision !== answer.revision) this.problems.push({ missing: answer.revision, have: this.revision });
      this.send();
    });
    // Some do not wait to hear whether what they sent had come.
    if (this.sent !== null && this.sent === this.token && die(2)) this.submit();
  }

  hear(update) {
    if (update.revision <= this.revision) return;
    if (update.revision !== this.revision + 1) {
      this.problems.push({ hole: [this.revision, update.revision] });
      this.join();
      return;
    }
    if (update.client_id === this.clientId) {
      if (update.seq !== this.seq || !this.out) this.problems.push({ unknown: update, seq: this.seq });
      else this.confirmed(update.revision, fromWire(update.operations));
      return;
    }
    let foreign = fromWire(update.operations);
    this.synced = apply(this.synced, foreign);
    this.revision = update.revision;
    const left = this.clientId < update.client_id;
    for (const mine of ['out', 'buffer']) {
      if (!this[mine]) continue;
      const before = this[mine];
      this[mine] = transform(before, foreign, left);
      foreign = transform(foreign, before, !left);
    }
    this.text = apply(this.text, foreign);
  }

  // `as` is the operation as it was told; it must be what this editor made of it.
  confirmed(revision, as) {
    if (as && JSON.stringify(as) !== JSON.stringify(this.out)) this.problems.push({ as, out: this.out });
    this.synced = apply(this.synced, this.out);
    this.revision = revision;
    this.acknowledge(revision);
  }

  // The operation that is out is in the song, at a revision if that was told.
  acknowledge(revision) {
    this.acknowledged.push({ seq: this.seq, revision, token: this.token, at_ms: Date.now() });
    this.out = this.sent = this.token = null;
    this.waiting = false;
    if (!this.buffer) return;
    this.out = this.buffer;
    this.buffer = null;
    this.name();
  }

  // What was typed becomes an operation: it gets its seq, and its token at its end.
  name() {
    this.seq += 1;
    this.token = `‹${this.clientId}.${this.tokens += 1}›`;
    const mark = canonical([anywhere(this.text), this.token]);
    this.text = apply(this.text, mark);
    this.out = compose(this.out, mark);
  }

  replace({ text, revision, last_seq: lastSeq }) {
    this.states += 1;
    if (revision < this.revision) this.rewinds += 1;
    let base = this.synced;
    if (this.out && lastSeq >= this.seq) {
      if (lastSeq > this.seq) this.problems.push({ last_seq: lastSeq, seq: this.seq });
      base = apply(this.synced, this.out);
      this.acknowledge(null);
    } else if (lastSeq > 0 && lastSeq < this.seq - (this.out ? 1 : 0)) {
      // What was acknowledged is lost: the next one follows what is still there.
      this.seq = lastSeq + (this.out ? 1 : 0);
      this.refuse({ code: 'lost' });
    }
    let change = difference(base, text);
    for (const mine of ['out', 'buffer']) {
      if (!this[mine]) continue;
      const before = this[mine];
      this[mine] = transform(before, change, true);
      change = transform(change, before, false);
    }
    this.text = apply(this.text, change);
    this.synced = text;
    this.revision = revision;
    this.joined = true;
    this.waiting = false;
    this.send();
  }

  send() {
    if (!this.joined || !this.out || this.waiting) return;
    this.submit();
    if (die(10) === 0) this.submit();
  }

  // Sent before or not, told to be lost or not: it is in the song once.
  submit() {
    this.waiting = true;
    const { seq, revision, token } = this;
    if (this.sent === token) this.resends += 1;
    this.sent = token;
    const request = { room_id: this.room, operation: toWire(this.out), revision, seq };
    const { id } = this.socket;
    this.socket.emit('collaboration_operation', request, (answer) => {
      if (id !== this.socket.id || token !== this.token) return;
      if (answer.ok) {
        if (answer.revision !== this.revision + 1) this.problems.push({ place: answer, have: this.revision });
        this.confirmed(answer.revision, null);
        this.send();
      } else if (this.waiting) {  // else it was sent twice, and refused twice
        this.waiting = false;
        this.refuse(answer);
        this.later(answer, () => (answer.code === 'not_in_room' ? this.join() : this.send()));
      }
    });
  }

  get quiet() { return this.gone || (this.joined && !this.out && !this.waiting); }

  type() {
    if (this.revision === null || this.gone) return;
    const operation = anyEdit(this.text);
    if (!operation.length) return;
    this.text = apply(this.text, operation);
    if (this.out) this.buffer = compose(this.buffer ?? [], operation);
    else {
      this.out = operation;
      this.name();
      this.send();
    }
  }

  cut() { this.socket.io.engine?.transport?.ws?._socket?.destroy(); }

  leave() {
    this.gone = true;
    this.socket.close();
  }

  report() {
    const { room, clientId, text, revision, acknowledged, problems, refused, gone, quiet } = this;
    const { resends, states, rewinds, connects, counted } = this;
    const pending = quiet ? null : { joined: this.joined, waiting: this.waiting, out: this.out, token: this.token };
    return {
      room, client_id: clientId, text, revision, acknowledged, problems, refused, gone, pending,
      present: [...this.present].sort(), counted, presence: this.presence.slice(-20), resends, states, rewinds, connects,
      url: this.socket.connected ? this.socket.io.uri : null,
    };
  }
}

let editors = [];
let typing = null;

// What an editor could not take is a problem of all of them.
process.on('uncaughtException', ({ stack }) => {
  for (const one of editors) one.problems.push({ stack });
});

const heads = () => new Set(editors.filter((one) => !one.gone).map((one) => `${one.room} ${one.revision}`));
const rooms = () => new Set(editors.filter((one) => !one.gone).map((one) => one.room));

// Everybody is in, nobody owes anything, and all in a room have come equally far.
const isAtRest = () => editors.every((one) => one.quiet) && heads().size === rooms().size;

async function within(ms, true_) {
  const until = Date.now() + ms;
  while (!true_() && Date.now() < until) await pause(20);
  return true_();
}

const commands = {
  // More of them, with numbers of their own from a seed.
  open({ who, seed }) {
    if (seed !== undefined) random = numbers(seed);
    editors.push(...who.map((one) => new Editor(one)));
    return null;
  },
  // Whether all are in their rooms.
  joined: ({ withinMs }) => within(withinMs, () => editors.every((one) => one.gone || one.joined)),
  // So often one of them makes an edit; never, from now on.
  type({ everyMs }) {
    clearInterval(typing);
    if (everyMs) typing = setInterval(() => editors[die(editors.length)].type(), everyMs);
    return null;
  },
  // Cut the WebSockets of about every second one.
  cut() {
    for (const editor of editors) if (die(2)) editor.cut();
    return null;
  },
  // These say goodbye.
  leave({ client_ids: clientIds }) {
    for (const one of editors) if (clientIds.includes(one.clientId)) one.leave();
    return null;
  },
  rest: ({ withinMs }) => within(withinMs, isAtRest),
  report: () => editors.map((editor) => editor.report()),
  close() {
    for (const one of editors) one.leave();
    editors = [];
    return null;
  },
};

// One command after the other.
let last = Promise.resolve();

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => {
    last = last.then(async () => {
      const command = JSON.parse(line);
      const answer = JSON.stringify(await commands[command.do](command));
      // Half of a pair, with which nobody should end, could not be read.
      process.stdout.write(answer.replace(/\\ud[89a-f][0-9a-f]{2}/g, '\\ufffd') + '\n');
    });
  })
  .on('close', () => process.exit(0));
