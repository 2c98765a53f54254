"""chordme_daemon: people edit ChordPro songs together, in real time.

The house, and which way its imports point (down; never up, never round)::

    service.py            what twistd is given: options, and the daemon that they make
    daemon.py             a daemon: listening, ticking, reloading, saying goodbye
    doors.py              what is served to clients, to operators, and to other daemons
    workers.py            several processes behind one port
    reloading.py          which settings can be changed while it runs
    floors.py             every part of a daemon, from the ground up: where all are named
    belongings.py         the parts of a daemon whose songs belong to a backend
    cli.py                `chordme-daemon`: what an operator does beside twistd
    commands/             what that is: a module for each kind of command
        songs.py          `export` and `import`
        configuration.py  `check-config`, `default-config` and `token`
        doctor.py         `doctor`: what keeps the daemon from working
        credentials.py    what is wrong with secrets and keys
        machine.py        what else of that is seen on this machine
        network.py        ... on its ports, in its certificates, at its Redis
        visit.py          ... and as a browser would, from outside
        completion.py     `completion`: for the shells
        manual.py         `manual`: for `man`
        outline.py        what both are made of
        finding.py        what was found, and what is to be done about it
        load.py           `load`: clients that talk to each other
        visitor.py        one of them
        command.py        what all have in common
    config.py             the configuration: read and checked as a whole, frozen
    sources.py            what a file, the environment and the command line say of settings
    settings.py           every setting: its default, its parser, its sentence
    operating.py          those of who operates it
    setting.py            what one is
    values.py             what each floor is told of them, in its own words
    parsers.py            text in, value out
    relay.py              requests for sessions of other daemons
    proxied.py            connections that a proxy hands on with the PROXY protocol
    admission.py          which new clients may come in, by their addresses
    keys.py               public keys that are published at a URL
    logs.py               what a log line looks like
    metrics.py            what the parts have counted, for Prometheus and for ChordMe
    reports.py            who is told of that unasked
    statsd.py             how StatsD is told
    process.py            what the system knows of the process
    checks.py             how the parts are, for `/health/detailed`
    admin/                what an operator may ask of a running daemon
        calls.py          what the calls do: songs, connections, permissions, denials
        site.py           who may, what is asked, and what is answered
        openapi.py        the same, for people and their tools
        door.py           who may call: by the key, or from this machine
        asked.py          what is asked, looked at before it is believed
    notices.py            where a backend leaves notices on the admin site
    web.py                the front door: resource trees, health, addresses
    demo.py               what there is where it is only tried out: a page, tokens for everybody
    pages.py              the page, as it was built from frontend/demo into page/
    app/                  what ChordMe means by its events
        notices.py        what a backend says by itself
        emitters.py       what a backend says to clients, by python-socketio's manager
        server.py         answers clients, one request at a time each
        answers.py        what each request does, and what it is answered
        authorizers.py    what somebody may do: by their token, or by the backend
        access.py         the same, and what an operator has decided
        reviews.py        the same, asked again while they are there
        songs.py          songs of the backend: loaded with the first member
        saving.py         when they are saved, by whom, and how that went
        broker.py         one song on its way to the backend
        reconciling.py    what the backend has, and what was done to it there
        editing.py        operations of current and legacy clients, and how these catch up
        records.py        what an operator may see of a song, and restore
        cursors.py        cursors beyond the rate: the newest waits
        turnstile.py      who may come in beside those who are here
        clients.py        one client: who it is, where it is, what of it waits
        documents.py      puts concurrent operations on a room's document into one order
        rooms.py          all rooms: opened with the first member, closed after the last
        room.py           one room: who sits in it, and what each of them is told
        arrivals.py       who comes and goes, told to many at once
        deliveries.py     what legacy clients are told, and when they have seen it
        seats.py          one connection's place in one room
        document.py       a song's text at the head, and the log that leads there       (pure)
        shadow.py         what a client that sends no revision has in its editor        (pure)
        merging.py        what two have made of one text                                (pure)
        chordpro.py       chords and directives that two people changed at once         (pure)
        orders.py         what an operator orders, carried out by every daemon
        auth.py           who a client is and what they may do                          (pure)
        keyring.py        the keys that tokens are signed with                          (pure)
        rulings.py        what an operator has decided of users, tokens and rooms       (pure)
        limits.py         how much a client may ask for                                 (pure)
        budgets.py        what is left of that                                          (pure)
        allowance.py      the same, of this daemon or of all together
        payloads.py       what is told
        measures.py       how many requests, how refused, how long they took          (pure)
        answer.py         the shape of an answer
        parsing.py        what is asked, read from what clients send                    (pure)
        events.py         the vocabulary of what may be asked, and how it is refused    (pure)
    backend/              ChordMe's backend over HTTP
        client.py         its calls: rights, texts in and out
        body.py           the body of an answer, read to its end or given up
        bodies.py         what it says, read without believing it                       (pure)
        notices.py        what it has to say by itself, and whether it is the one       (pure)
    cluster/              how several daemons act as one
        interface.py      ICluster: notes, entries, members, and the promise about their order
        local.py          a cluster of one
        journal.py        its memory on disk (SQLite), or none
        rows.py           what stands in there, and whether it can be
        redis.py          a cluster held together by one Redis
        upkeep.py         how all rooms are compared with it, again and again
        replica.py        one room as it was heard, and how it stays what the log says
        messages.py       its messages, each heard once
        presence.py       who is in a room, of all daemons
        rulings.py        what operators have decided, heard by all and kept until its time
        session.py        the right to write, and what daemons know of each other
        saves.py          who saves a song, and what was saved of it
        save_scripts.py   how that is done in Redis
        scripts.py        what is done in Redis at one stroke
        wire.py           what is kept in Redis and said in its channels; nothing is trusted
        link.py           commands and channels over two connections, never deaf unnoticed
        protocol.py       one connection; the only file that knows txredisapi
        address.py        where a Redis is
    socketio/             named events and acknowledgements
        server.py         links, each with a connection for each namespace; join, recover
        connection.py     one client in one namespace: emit, call, reply, disconnect
        events.py         what an application is told of a connection
        pace.py           how fast the packets of one link are taken up
        recovery.py       what a lost connection missed, for when it comes back         (pure)
        packet.py         Socket.IO v5 packets                                          (pure)
    engineio/             a message link to one browser
        polling.py        long-polling, and where a request may ask for a WebSocket
        door.py           who may come in, and how others are refused
        upgrade.py        from HTTP to WebSocket: the opening, the taking over of a session
        websocket.py      the WebSocket transport, on Autobahn
        factory.py        what makes such transports
        shortcut.py       most of what comes and goes, past Autobahn and Twisted
        lean.py           Autobahn with little state for each connection
        poller.py         reads many sockets as one descriptor
        server.py         the open sockets, and the pump that moves their packets
        interface.py      what sockets and transports know of each other
        frame.py          small masked text frames: their payload, and what may become one
        session.py        one client as a state machine: packets and instants in, events out (pure)
        events.py         what it tells of its client
        settings.py       what this floor may be told
        packet.py         Engine.IO v4 packets and payloads                             (pure)
        traffic.py        how many bytes have passed
        encoded.py        packets as bytes, made once for all who are sent them         (pure)
    ot.py                 operational transform of text                                 (pure)
    histogram.py          how often something was how large                             (pure)
    listening.py          the ports
    certificates.py       that of a port with TLS, which can be renewed
    systemd.py            what systemd is told, and the sockets that it gives
    draining.py           how clients are sent away, not all at once
    signals.py            which signals are listened to
    security.py           who was refused what
    throttle.py           what is said again and again, once in a while
    files.py              how many connections the system permits
    passing.py            values that are made for each message
    httpchannel.py        HTTP/1.1 with a deadline for each request and a bound for each body

A floor is given one function, `accept`, when it is built. It calls it with each new link, and gets
back the function that receives that link's events; so what is below calls what is above without
knowing it. Pure modules do no I/O and read no clock: time is told to them.
"""

__version__ = "0.1.0"
