"""A TCP proxy before the broker: it sees how much a client sends, and can cut its connections in the middle."""

import queue
import socket
import threading
import time

CUT_SECONDS = 0.1


class Proxy:
    """Takes connections on a port of its own and passes everything on to `upstream` and back."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.upstream = None
        self.sent = 0
        self.pairs = []
        self.trigger = None
        self.lock = threading.Lock()
        self.due = queue.SimpleQueue()
        threading.Thread(target=self.accept, daemon=True).start()
        threading.Thread(target=self.work, daemon=True).start()

    def after(self, count, act):
        """Once so many more bytes have gone to the broker, `act` is called, beside everything else. Gives an event that
        is set when `act` has returned."""
        done = threading.Event()
        with self.lock:
            self.trigger = (self.sent + count, lambda: (act(), done.set()))
        return done

    def cut(self):
        """Ends every connection the hard way: for a moment requests still arrive, but no answer comes back any more."""
        pairs, self.pairs = self.pairs, []
        for pair in pairs:
            pair.is_deaf = True
        time.sleep(CUT_SECONDS)
        for pair in pairs:
            pair.end()

    def close(self):
        self.listener.close()
        for pair in self.pairs:
            pair.end()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.upstream))
            except OSError:
                client.close()
                continue
            self.pairs = [pair for pair in self.pairs if not pair.is_ended] + [Pair(self, client, server)]

    def work(self):
        """One thread for all: a broker ends with the thread that started it."""
        while True:
            self.due.get()()

    def count(self, length):
        with self.lock:
            self.sent += length
            if self.trigger and self.sent >= self.trigger[0]:
                self.due.put(self.trigger[1])
                self.trigger = None


class Pair:
    """One connection of a client and its connection to the broker."""

    def __init__(self, proxy, client, server):
        self.sockets = (client, server)
        self.is_deaf = False
        self.is_ended = False
        for side in self.sockets:
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self.pump, args=(client, server, proxy.count), daemon=True).start()
        threading.Thread(target=self.pump, args=(server, client, None), daemon=True).start()

    def pump(self, source, target, count):
        try:
            while data := source.recv(1 << 16):
                if count:
                    count(len(data))
                elif self.is_deaf:
                    continue
                target.sendall(data)
        except OSError:
            pass
        self.end()

    def end(self):
        self.is_ended = True
        for side in self.sockets:
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            side.close()
