// Editors who type into one song at random, each over a real socket.io-client: the state machine of
// a current client, with an operational transform of its own, so that it checks the daemon's; or a
// legacy one, which transforms nothing.
// Told what to do by JSON lines on stdin: {do: "open", url, room, tokens, legacyTokens},
// {do: "type", everyMs}, {do: "pause"}, {do: "cut"}, {do: "rest"}; answers a JSON line when "rest"
// is reached.
'use strict';
const readline = require('node:readline');
const { io } = require('socket.io-client');
const { apply, canonical, compose, difference, fromWire, toWire, transform } = require('./transform');

const PIECES = ['a', 'la ', '[Am]', '[G7]', '\n', '{title: x}\n', 'é', '♭', '🎸', '😀'];
const die = (sides) => Math.floor(Math.random() * sides);

// One character more or less, anywhere.
function anyEdit(text) {
  const places = [...text.matchAll(/./gsu)].map(({ index }) => index).concat(text.length);
  const at = places[die(places.length)];
  const end = places.find((place) => place > at) ?? at;
  const remove = die(3) === 0 || text.length > 2000;
  return canonical(remove ? [at, at - end] : [at, PIECES[die(PIECES.length)]]);
}

class Editor {
  constructor(url, room, token, number) {
    this.room = room;
    this.clientId = `${'zam'[number % 3]}-${number}`;
    this.text = this.synced = '';
    this.revision = null;
    this.seq = 0;
    this.out = this.buffer = null;
    this.joined = this.waiting = false;
    this.acknowledged = [];
    this.problems = [];
    this.socket = io(url, {
      forceNew: true, reconnectionDelay: 20, reconnectionDelayMax: 200,
      transports: number % 2 ? ['websocket'] : ['polling', 'websocket'],
      auth: { token, client_id: this.clientId },
    });
    this.socket.on('authenticated', () => this.join());
    this.socket.on('disconnect', () => { this.joined = this.waiting = false; });
    this.socket.on('collaboration_update', (update) => this.joined && this.hear(update));
    this.socket.on('document_state', (state) => this.replace(state));
    this.socket.on('auth_error', (error) => this.problems.push(error));
    this.socket.on('error', (error) => this.problems.push(error));
  }

  join() {
    const have = this.revision === null ? { document: true } : { revision: this.revision };
    this.socket.emit('join_room', { room_id: this.room, ...have }, (answer) => {
      if (!answer.ok) return this.problems.push(answer);
      if (answer.resync) return;  // document_state follows
      if (answer.document) {
        this.text = this.synced = answer.document.text;
        this.revision = answer.revision;
      }
      this.joined = true;
      for (const update of answer.operations ?? []) this.hear(update);
      if (this.revision !== answer.revision) this.problems.push({ missing: answer.revision });
      this.send();
    });
  }

  hear(update) {
    if (update.revision <= this.revision) return;
    if (update.revision !== this.revision + 1) {
      this.problems.push({ hole: [this.revision, update.revision] });
      return;
    }
    if (update.client_id === this.clientId) {
      if (update.seq !== this.seq || !this.out) this.problems.push({ unknown: update });
      else this.confirmed(fromWire(update.operations));
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
  confirmed(as) {
    if (as && JSON.stringify(as) !== JSON.stringify(this.out)) this.problems.push({ as, out: this.out });
    this.synced = apply(this.synced, this.out);
    this.revision += 1;
    this.acknowledged.push(this.seq);
    this.out = this.buffer;
    this.buffer = null;
    this.waiting = false;
    if (this.out) this.seq += 1;
  }

  replace({ text, revision, last_seq: lastSeq }) {
    let base = this.synced;
    if (this.out && lastSeq >= this.seq) {
      base = apply(this.synced, this.out);
      this.acknowledged.push(this.seq);
      this.out = this.buffer;
      this.buffer = null;
      if (this.out) this.seq += 1;
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
    this.waiting = true;
    const { seq, revision } = this;
    const request = { room_id: this.room, operation: toWire(this.out), revision, seq };
    this.socket.emit('collaboration_operation', request, (answer) => {
      if (seq !== this.seq || !this.waiting) return;
      if (answer.ok) {
        if (answer.revision !== this.revision + 1) this.problems.push({ place: answer, have: this.revision });
        this.confirmed(null);
        this.send();
      } else {
        this.waiting = false;
        this.problems.push(answer);
        setTimeout(() => this.send(), 50);
      }
    });
  }

  get quiet() { return this.joined && !this.out && !this.waiting; }

  type() {
    if (this.revision === null) return;
    const operation = anyEdit(this.text);
    if (!operation.length) return;
    this.text = apply(this.text, operation);
    if (this.out) this.buffer = compose(this.buffer ?? [], operation);
    else { this.out = operation; this.seq += 1; this.send(); }
  }

  cut() {
    const { engine } = this.socket.io;
    engine?.transport?.ws?._socket?.destroy();
  }

  report() {
    const { clientId, text, revision, acknowledged, problems } = this;
    return { client_id: clientId, text, revision, acknowledged, problems };
  }
}

// How legacy clients are connected, and whether they say what they have seen.
const LEGACY = [
  { transports: ['websocket'], echoes: false },
  { transports: ['websocket'], echoes: true },
  { transports: ['polling', 'websocket'], echoes: false },
  { transports: ['polling'], echoes: true },
];

// As ChordMe's web app is: it applies its own edits and what it is told, as they come, and sends
// each edit at once, with an id.
class LegacyEditor {
  constructor(url, room, token, number) {
    const { transports, echoes } = LEGACY[number % LEGACY.length];
    Object.assign(this, { room, number, transports, echoes });
    this.text = '';
    this.hasText = false;
    this.delivery = null;
    this.sent = this.heard = this.repairs = this.replaced = 0;
    this.unanswered = new Set();
    this.acknowledged = [];
    this.refused = [];
    this.problems = [];
    this.socket = io(url, { forceNew: true, reconnection: false, transports, auth: { token } });
    this.socket.on('authenticated', ({ user_id: userId }) => {
      this.userId = userId;
      this.socket.emit('join_room', { room_id: room });
    });
    this.socket.on('room_joined', ({ revision }) => { this.hasText ||= revision === 0; });
    this.socket.on('document_state', ({ text, delivery, reason }) => {
      if (reason !== 'joined') this.replaced += 1;
      Object.assign(this, { text, delivery, hasText: true });
      this.heard += 1;
    });
    this.socket.on('collaboration_update', (update) => this.hear(update));
    this.socket.on('operation_confirmed', ({ operation_id: id }) => {
      this.answered(id);
      this.acknowledged.push(id);
    });
    this.socket.on('error', (error) => {
      this.answered(error.id);
      this.refused.push(error.code);
    });
    this.socket.on('auth_error', (error) => this.problems.push(error));
    this.socket.on('disconnect', (reason) => this.problems.push({ reason }));
  }

  // Which of its packets a client had seen cannot be told while it changes transports.
  get ready() {
    return this.hasText && this.socket.io.engine.transport.name === this.transports.at(-1);
  }

  get quiet() { return this.ready && this.unanswered.size === 0; }

  hear({ operation: { type, position, content, length }, user_id: userId, delivery }) {
    const head = this.text.slice(0, position), tail = this.text.slice(position);
    this.text = head + (type === 'insert' ? content + tail : tail.slice(length));
    this.delivery = delivery;
    this.heard += 1;
    if (userId === 'server') this.repairs += 1;
  }

  answered(id) {
    if (!this.unanswered.delete(id)) this.problems.push({ answered: id });
  }

  type() {
    const edit = this.ready ? anyEdit(this.text) : [];
    if (!edit.length) return;
    this.text = apply(this.text, edit);
    const [operation] = toWire(edit);
    operation.id = `${this.number}-${this.sent += 1}`;
    this.unanswered.add(operation.id);
    const seen = this.echoes && this.delivery !== null ? { seen: this.delivery } : {};
    this.socket.emit('collaboration_operation', { room_id: this.room, operation, ...seen });
  }

  report() {
    const { userId, acknowledged, refused, repairs, replaced, problems } = this;
    // Half of a pair, with which nobody should end, could not be told.
    const text = this.text.replace(/\p{Surrogate}/gu, '\ufffd');
    const who = { client_id: null, revision: null, user_id: userId };
    return { ...who, text, acknowledged, refused, repairs, replaced, problems };
  }
}

const REST_WITHIN_MS = 30_000;

let editors = [];
let typing = null;

const isLegacy = (editor) => editor instanceof LegacyEditor;
const current = () => editors.filter((editor) => !isLegacy(editor));
const legacy = () => editors.filter(isLegacy);

// Nobody owes anything, and a question to each legacy client's server brings nothing new: what the
// daemon had to say to what that client had seen stands before the answer.
async function isAtRest() {
  const heads = new Set(current().map((editor) => editor.revision));
  if (heads.size > 1 || !editors.every((editor) => editor.quiet)) return false;
  const heard = () => legacy().map((editor) => editor.heard).join();
  const before = heard();
  await Promise.all(legacy().map((editor) => editor.socket.emitWithAck('ping', {})));
  return heard() === before && editors.every((editor) => editor.quiet);
}

const commands = {
  open({ url, room, tokens, legacyTokens }) {
    editors = [
      ...tokens.map((token, number) => new Editor(url, room, token, number)),
      ...legacyTokens.map((token, number) => new LegacyEditor(url, room, token, number)),
    ];
  },
  type({ everyMs }) {
    typing = setInterval(() => editors[die(editors.length)].type(), everyMs);
  },
  pause() {
    clearInterval(typing);
  },
  cut() {
    for (const editor of current()) if (die(2)) editor.cut();
  },
  async rest() {
    clearInterval(typing);
    const until = Date.now() + REST_WITHIN_MS;
    while (!await isAtRest()) {
      if (Date.now() > until) {
        for (const { problems, quiet } of editors) problems.push({ restless: true, quiet });
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    process.stdout.write(JSON.stringify(editors.map((editor) => editor.report())) + '\n');
  },
};

readline
  .createInterface({ input: process.stdin })
  .on('line', (line) => { const command = JSON.parse(line); commands[command.do](command); })
  .on('close', () => process.exit(0));
