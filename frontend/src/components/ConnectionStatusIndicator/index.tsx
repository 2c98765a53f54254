import { useId } from 'react';
import { useConnectionIndicator } from '../../hooks/indicator';
import './indicator.css';

export interface ConnectionStatusIndicatorProps {
  /** Say in words what the dot says in colour. */
  showDetails?: boolean;
  className?: string;
  /** Makes it a button. */
  onClick?: () => void;
}

/** How the connection is: a dot, and in words if asked for; it is read out when it changes. */
export function ConnectionStatusIndicator({
  showDetails = false,
  className = '',
  onClick,
}: ConnectionStatusIndicatorProps) {
  const { kind, tone, statusText, latency, retryCount, lastError, isReconnecting } =
    useConnectionIndicator();
  const errorId = useId();
  const isConnected = kind === 'connected' || kind === 'slow';
  // Numbers that change by themselves are for the eye only.
  const figure = isReconnecting
    ? retryCount > 0 && `attempt ${retryCount}`
    : isConnected && latency !== null && `${Math.round(latency)} ms`;
  // Why it is tried again is not for people.
  const problem = tone === 'bad' || kind === 'authenticating' ? lastError : null;
  const pill = `chordme-connection-pill${showDetails ? '' : ' chordme-connection-pill-small'}`;
  const title = [statusText, figure, problem].filter(Boolean).join(' · ');
  const content = (
    <>
      <span className="chordme-connection-dot" aria-hidden="true" />
      <span className={showDetails ? 'chordme-connection-text' : 'chordme-connection-unseen'}>
        {statusText}
      </span>
      {showDetails && figure && (
        <span className="chordme-connection-figure" aria-hidden="true">
          {figure}
        </span>
      )}
    </>
  );
  return (
    <div
      role="status"
      className={`chordme-connection ${className}`.trim()}
      data-kind={kind}
      data-tone={tone}
      data-busy={tone === 'waiting' && !isConnected}
      title={showDetails && !problem ? undefined : title}
    >
      {onClick ? (
        <button
          type="button"
          className={pill}
          onClick={onClick}
          aria-describedby={problem ? errorId : undefined}
        >
          {content}
        </button>
      ) : (
        <span className={pill}>{content}</span>
      )}
      {problem && (
        <span
          id={errorId}
          className={showDetails ? 'chordme-connection-problem' : 'chordme-connection-unseen'}
        >
          {problem}
        </span>
      )}
    </div>
  );
}

export default ConnectionStatusIndicator;
