/** Line drawings of 20 by 20, in the colour of the text beside them. */

const PATHS = {
  undo: 'M7 5 3.5 8.5 7 12M4 8.5h7.5a4.5 4.5 0 0 1 0 9H9',
  redo: 'M13 5l3.5 3.5L13 12M16 8.5H8.5a4.5 4.5 0 0 0 0 9H11',
  link: 'M8.5 11.5a3.2 3.2 0 0 0 4.6.2l2.4-2.4a3.3 3.3 0 0 0-4.7-4.7L9.6 5.8M11.5 8.5a3.2 3.2 0 0 0-4.6-.2l-2.4 2.4a3.3 3.3 0 0 0 4.7 4.7l1.2-1.2',
  chat: 'M3.5 5.5A1.5 1.5 0 0 1 5 4h10a1.5 1.5 0 0 1 1.5 1.5v7A1.5 1.5 0 0 1 15 14H9l-3.5 3v-3H5a1.5 1.5 0 0 1-1.5-1.5z',
  pen: 'M4 16l.8-3.4L13.4 4a1.4 1.4 0 0 1 2 0l.6.6a1.4 1.4 0 0 1 0 2L7.4 15.2z',
  sheet: 'M12.5 14.5V4l3.5 1.8M12.5 14.5a2 2 0 1 1-4 0 2 2 0 0 1 4 0zM3.5 5h6M3.5 8.5h6M3.5 12h3',
  offline:
    'M3 3l14 14M5.8 11.3a6 6 0 0 1 3-1.6M2.8 8.2a10.3 10.3 0 0 1 3.7-2.3M9.4 5.2a10.3 10.3 0 0 1 7.8 3M12.6 10.2a6 6 0 0 1 1.6 1.1M10 15h.01',
  online: 'M2.8 8.2a10.3 10.3 0 0 1 14.4 0M5.8 11.3a6 6 0 0 1 8.4 0M10 15h.01',
  print:
    'M6 8V3.5h8V8M6 14H4.5A1.5 1.5 0 0 1 3 12.5v-3A1.5 1.5 0 0 1 4.5 8h11A1.5 1.5 0 0 1 17 9.5v3a1.5 1.5 0 0 1-1.5 1.5H14M6 12h8v4.5H6z',
  dice: 'M5 3.5h10A1.5 1.5 0 0 1 16.5 5v10a1.5 1.5 0 0 1-1.5 1.5H5A1.5 1.5 0 0 1 3.5 15V5A1.5 1.5 0 0 1 5 3.5zM7 7h.01M13 7h.01M10 10h.01M7 13h.01M13 13h.01',
  send: 'M3.5 10h12M11 5l5 5-5 5',
  eye: 'M2.5 10S5.2 5 10 5s7.5 5 7.5 5-2.7 5-7.5 5-7.5-5-7.5-5zM10 12a2 2 0 1 0 0-4 2 2 0 0 0 0 4z',
  close: 'M5 5l10 10M15 5L5 15',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg className="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The mark of the page: a chord of C on four frets. */
export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="9" />
      <path d="M9 7v18M16 7v18M23 7v18M8 10h16M8 16h16M8 22h16" />
      <circle cx="9" cy="19" r="3" />
      <circle cx="16" cy="13" r="3" />
      <circle cx="23" cy="13" r="3" />
    </svg>
  );
}
