// Search runs in a worker, which browsers refuse to pages opened as files. There, a hidden frame stands in for it.
if (location.protocol === "file:") {
  window.Worker = window.IFrameWorker = class IFrameWorker extends EventTarget {
    constructor(address) {
      super();
      const waiting = [];
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.title = "search";
      document.body.append(frame);
      const inside = frame.contentWindow;
      inside.postMessage = (data) => setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data })));
      this.send = (data) => waiting.push(data);
      this.end = () => frame.remove();
      const script = frame.contentDocument.createElement("script");
      script.src = address;
      script.onload = () => {
        this.send = (data) => inside.dispatchEvent(new MessageEvent("message", { data }));
        waiting.forEach(this.send);
      };
      frame.contentDocument.head.append(script);
    }

    postMessage(data) {
      this.send(data);
    }

    terminate() {
      this.end();
    }
  };
}
