// What stands in front of the page: opened once, and closed at once.
import { useLayoutEffect, useRef } from "./lib.js";

/**
 * For a dialog: `html\`<dialog ...${useModal(close)}>\``. Browsers tell late that a dialog has closed, after keys that were
 * pressed meanwhile: so Escape is taken here, and what is told late counts only while this one is there. Without `close`
 * it stays until it is gone. `leave`: what is done when it is.
 */
export function useModal(close, leave) {
  const box = useRef(null), gone = useRef(false);
  useLayoutEffect(() => {
    const dialog = box.current;
    dialog.showModal();
    dialog.querySelector("input, select, .act")?.focus();
    return () => {
      gone.current = true;
      dialog.close();
      leave?.();
    };
  }, []);
  const shut = (event) => {
    event.preventDefault();
    close?.();
  };
  return {
    ref: box,
    onKeyDown: (event) => event.key === "Escape" && !event.isComposing && shut(event),
    onCancel: shut,
    onClose: () => {
      if (gone.current) return;
      if (close) close();
      else box.current.showModal();
    },
  };
}
