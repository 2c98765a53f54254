import { useEffect, useRef, useState } from 'react';

/**
 * A text that is worked on with each change, at most so often that typing is not held up: the longer
 * the text the rarer, up to a second for 40,000 characters.
 */
export function useThrottled(text: string): string {
  const [shown, setShown] = useState(text);
  const latest = useRef(text);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => {
    latest.current = text;
    timer.current ??= setTimeout(
      () => {
        timer.current = undefined;
        setShown(latest.current);
      },
      Math.min(1000, text.length / 40),
    );
  }, [text]);
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      timer.current = undefined;
    },
    [],
  );
  return shown;
}
