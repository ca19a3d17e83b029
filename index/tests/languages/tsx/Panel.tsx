import React, { type FC, useEffect } from 'react';
import { Button } from '../components/Button';
import styles from './Panel.module.css';

type Props = { title: string; onClose?: () => void };

interface State<T> {
  items: T[];
}

/** A panel that can be closed. */
export const Panel: FC<Props> = ({ title, onClose, children }) => {
  const [open, setOpen] = React.useState<boolean>(true);
  useEffect(() => {
    document.title = title;
  }, [title]);

  const close = () => {
    setOpen(false);
    onClose?.();
  };

  if (!open) return null;
  return (
    <section className={styles.panel}>
      <h2>{title} &amp; more {'{'}</h2>
      <Button onClick={close}>Close</Button>
      {children}
    </section>
  );
};

// Generic components need the comma.
export function List<T extends { id: string }>({ items }: State<T>) {
  return <ul>{items.map((item) => <li key={item.id}>{String(item)}</li>)}</ul>;
}

export default class Old extends React.Component<Props, State<string>> {
  state = { items: [] };

  render() {
    return <><Panel {...this.props} /></>;
  }
}

export const withLog = <P extends object>(Inner: FC<P>) =>
  function Logged(props: P) {
    console.log(props);
    return <Inner {...props} />;
  };

enum Size { Small, Large }
