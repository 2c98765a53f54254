// A token for each virtual user, signed as ChordMe does, with the secret that the daemon has.
const { createHmac, randomUUID } = require('node:crypto');

const secret = process.env.JWT_SECRET_KEY;
if (!secret) throw new Error('JWT_SECRET_KEY is not set: it has to be that of the daemon');

const encoded = (part) => Buffer.from(JSON.stringify(part)).toString('base64url');

/** Makes the virtual user a user of its own, in a room with a few others. */
function introduce(context, _events, done) {
  const now = Math.floor(Date.now() / 1000);
  const claims = { user_id: `artillery-${randomUUID()}`, iat: now, exp: now + 3600 };
  const signed = `${encoded({ alg: 'HS256', typ: 'JWT' })}.${encoded(claims)}`;
  const signature = createHmac('sha256', secret).update(signed).digest('base64url');
  context.vars.token = `${signed}.${signature}`;
  context.vars.room = `artillery-${Math.floor(Math.random() * 10)}`;
  done();
}

module.exports = { introduce };
