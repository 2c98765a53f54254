/** Names made up for who has not said theirs, and for songs that have none yet. */

const MOODS = [
  'Amber',
  'Brisk',
  'Calm',
  'Dapper',
  'Early',
  'Gentle',
  'Golden',
  'Hasty',
  'Keen',
  'Late',
  'Lucky',
  'Mellow',
  'Misty',
  'Nimble',
  'Plucky',
  'Quiet',
  'Rusty',
  'Silver',
  'Sunny',
  'Tidy',
  'Velvet',
  'Witty',
] as const;

const INSTRUMENTS = [
  'Accordion',
  'Banjo',
  'Bassoon',
  'Bugle',
  'Cello',
  'Clarinet',
  'Cornet',
  'Dulcimer',
  'Fiddle',
  'Flute',
  'Harp',
  'Kazoo',
  'Lute',
  'Mandolin',
  'Oboe',
  'Organ',
  'Piccolo',
  'Tuba',
  'Ukulele',
  'Viola',
  'Whistle',
  'Zither',
] as const;

/** From 0 to below 1. */
export type Dice = () => number;

function oneOf<Value>(values: readonly [Value, ...Value[]], dice: Dice): Value {
  return values[Math.floor(dice() * values.length)] ?? values[0];
}

/** A name for a person, such as `Quiet Cello`. */
export function madeUpName(dice: Dice = Math.random): string {
  return `${oneOf(MOODS, dice)} ${oneOf(INSTRUMENTS, dice)}`;
}

/** What a person or a song is called where only letters are allowed, and nobody else is. */
export function madeUpId(name: string, dice: Dice = Math.random): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '')
    .slice(0, 32);
  const tail = Math.floor(dice() * 36 ** 5)
    .toString(36)
    .padStart(5, '0');
  return plain ? `${plain}-${tail}` : tail;
}
