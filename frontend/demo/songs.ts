/** Which song the page shows, and what stands in the first one. */
import { isRoomId } from '../src/services/wire';
import { madeUpId, type Dice } from './names';

/** What everybody meets in who opens the page without naming a song. */
export const FIRST_SONG = 'song-1';

/** The song that an address names: `?song=my-song`. */
export function songOf(search: string): string {
  const named = new URLSearchParams(search).get('song') ?? '';
  return isRoomId(named) ? named : FIRST_SONG;
}

/** The address of a song, to be sent to others. */
export function addressOf(songId: string, page: string): string {
  const address = new URL(page);
  address.search = new URLSearchParams({ song: songId }).toString();
  address.hash = '';
  return address.href;
}

/** A song that nobody has opened yet. */
export function newSong(dice: Dice = Math.random): string {
  return madeUpId('song', dice);
}

export const STARTER = `{title: Leave the Kettle On}
{artist: Everybody here}
{key: G}
{tempo: 92}

{start_of_verse: Verse 1}
[G]Morning on the windowsill, [C]coffee going [G]cold,
[G]Half a tune is [Em]in my head, the [C]other half's [D]on hold.
[G]You came in with [C]rainy shoes and [G]hummed the missing [Em]part,
[C]Now it's yours as [G]much as mine, we [D]had it from the [G]start.
{end_of_verse}

{start_of_chorus: Chorus}
So [C]leave the kettle [G]on, my friend, and [D]leave the door un[Em]latched,
[C]Any line you [G]lay down here, some[D]body's got it matched.
[C]One of us will [G]find the words, an[B7]other finds the [Em]key —
The [C]song was never [G]only yours, and [D]never only [G]me.
{end_of_chorus}

{start_of_verse: Verse 2}
[G]Evening on the windowsill, [C]every cup is [G]dry,
[G]Seven voices, [Em]one guitar, and [C]nobody knows [D]why.
[G]Scratch a word and [C]write it new, the [G]ink is never [Em]set,
[C]Sing it till the [G]neighbours know, it [D]isn't finished [G]yet.
{end_of_verse}

{comment: Chorus again, quietly, then everybody}
`;
