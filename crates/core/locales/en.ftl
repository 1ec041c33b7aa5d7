### Everything that tray, notifications and window say. One file per language; adding a language is adding a file.

language-name = English
# ltr or rtl
direction = ltr

## The one sentence

sentence-not-set-up = Not set up
sentence-synced = Up to date
sentence-syncing = { $left ->
    [0] Syncing
   *[other] Syncing ({ $left } left)
}
sentence-offline = { $waiting ->
    [0] Offline since { $time }
    [one] Offline, { $waiting } change waiting since { $time }
   *[other] Offline, { $waiting } changes waiting since { $time }
}
sentence-paused = Paused
sentence-paused-until = Paused until { $time }
sentence-attention = Needs attention ({ $count })
sentence-error = Can't sync ({ $reason })

## The tray's menu

menu-sync-now = Sync now
menu-pause = Pause for
menu-pause-minutes = { $minutes ->
    [one] { $minutes } minute
   *[other] { $minutes } minutes
}
menu-pause-hours = { $hours ->
    [one] { $hours } hour
   *[other] { $hours } hours
}
menu-pause-open = Until I resume
menu-resume = Resume
menu-conflicts = Conflicts ({ $count })…
menu-open = Open
menu-set-up = Set up…
menu-help = Help
menu-copy-diagnostics = Copy diagnostics
menu-open-logs = Open log folder
menu-about = About Tillsync
menu-quit = Quit

## Quitting

quit-title = Quit Tillsync?
quit-unsent = { $count ->
    [one] { $count } change has not been sent. It is kept and goes out when Tillsync runs again.
   *[other] { $count } changes have not been sent. They are kept and go out when Tillsync runs again.
}
quit-anyway = Quit anyway
quit-stay = Keep running

## Notifications

notify-failing-title = The server does not answer
notify-failing = Tillsync has tried { $failures } times. Every change is kept and sent when it answers.
notify-conflict-title = Two registers disagree
notify-conflict = { $count ->
    [one] { $count } conflict waits for a decision.
   *[other] { $count } conflicts wait for a decision.
}
notify-parked-title = A change was refused
notify-parked = { $count ->
    [one] { $count } change was refused and waits for somebody to look at it.
   *[other] { $count } changes were refused and wait for somebody to look at them.
}
notify-stopped-title = Tillsync can't sync
notify-recovered-title = Back to normal
notify-recovered = The server answers again and everything is up to date.

## Words that return

retry = Try again
cancel = Cancel
back = Back
next = Next
undo = Undo
loading = Loading…
failed = That did not work: { $why }
nobody-answers = Tillsync does not answer. It tries again by itself.
problem-says = { $why }.
none = none

## Tabs

tab-status = Status
tab-conflicts = Conflicts
tab-activity = Activity
tab-settings = Settings
tabs = Parts of the window
waiting-badge = { $count ->
    [one] { $count } waits
   *[other] { $count } wait
}

## Status

sync-now = Sync now
pause = Pause
pause-for = Pause for…
resume = Resume
last-sync = Last in step { $when }
last-sync-never = Not in step yet
ago-now = just now
ago-minutes = { $minutes ->
    [one] { $minutes } minute ago
   *[other] { $minutes } minutes ago
}
ago-hours = { $hours ->
    [one] { $hours } hour ago
   *[other] { $hours } hours ago
}
ago-days = { $days ->
    [one] { $days } day ago
   *[other] { $days } days ago
}
numbers = Numbers
number-pending = Waiting
number-parked = Refused
number-conflicts = Conflicts
oldest-unsent = Oldest unsent sale: { $when }
nothing-unsent = Nothing is unsent
full-sync = First sync
full-sync-rows = { $done } of { $total } rows
full-sync-seconds = less than a minute left
full-sync-minutes = { $minutes ->
    [one] about { $minutes } minute left
   *[other] about { $minutes } minutes left
}
chart = Changes in the last 24 hours
chart-sent = Sent
chart-received = Received
chart-summary = { $sent } sent, { $received } received in the last 24 hours. Most in the hour from { $time }.
chart-empty = Nothing sent or received in the last 24 hours
chart-from = 24 hours ago
chart-to = now
problems = To look at

## Conflicts

conflicts-none = No conflicts
conflicts-none-more = When two registers change the same thing in different ways, you decide here which one stays.
conflicts-by = by { $register }
conflict-kind-update = Changed on two registers
conflict-kind-delete = Deleted on one, changed on another
conflict-kind-create = Made twice with the same number
conflict-row = { $entity } · { $key }
conflict-here = This register
conflict-there = Server
conflict-before = Before
conflict-field = Field
conflict-written = { $time }, { $register }
conflict-gone-register = a register that is gone
conflict-no-row = deleted
conflict-empty = empty
conflict-same = { $count ->
    [one] { $count } field is the same on both
   *[other] { $count } fields are the same on both
}
conflict-changed = changed
conflict-keep-here = Keep this register's
conflict-keep-there = Take the server's
conflict-each = Choose field by field
conflict-each-done = Use this choice
conflict-choose = Which value of { $field } stays?
conflict-all = All { $count } conflicts of { $entity }
conflict-all-here = Keep this register's for all { $count }
conflict-all-there = Take the server's for all { $count }
conflict-decided-here = This register's value stays
conflict-decided-there = The server's value stays
conflict-decided-each = Your choice stays
conflict-decided-all = { $count ->
    [one] { $count } conflict decided
   *[other] { $count } conflicts decided
}
conflict-changed-meanwhile = This row has changed since you looked. These are the new values; please decide again.
conflict-decided-before = { $by } has decided this already.
conflict-unreachable = The server was not reached, so nothing is decided yet. Try again when it answers.
conflict-locked = Only a manager can decide.

## Activity

activity-filter = Show
activity-all = Everything
activity-only-trouble = Trouble
activity-only-sync = Sent and received
activity-only-people = Decisions
activity-none = Nothing has happened yet
activity-none-filtered = Nothing of this kind
activity-list = What happened
activity-sent = { $count ->
    [one] Sent { $count } change
   *[other] Sent { $count } changes
}
activity-received = { $count ->
    [one] Received { $count } change
   *[other] Received { $count } changes
}
activity-started = Tillsync started
activity-stopped = Tillsync stopped
activity-offline = The server does not answer
activity-online = The server answers again
activity-full-sync = The first sync is complete
activity-paused = Paused
activity-resumed = Resumed
activity-conflict = Conflict in { $entity }, { $row }
activity-decided = Conflict in { $entity }, { $row }, decided
activity-parked = Refused: { $entity }, { $row }
activity-retried = Sent again: { $entity }, { $row }
activity-discarded = Given up: { $entity }, { $row }
parked-list = Refused
parked-retry = Send again
parked-discard = Give up…
parked-incoming = Tried again by itself
discard-title = Give this change up?
discard-text = The server never gets it. A copy is kept in a file on this machine.
discard-yes = Give up
discard-done = Given up. A copy is in { $file }

## Settings

setting-name = Register name
setting-server = Server
setting-store = Store
setting-role = Role
role-register = Till
role-manager = Manager
setting-language = Language
language-system = As the system
setting-autostart = Start when I log in
setting-locked = set by your administrator
setting-tables = Tables
lock-title = Manager
lock-locked = Conflicts and settings are read-only.
lock-unlock = Unlock
lock-lock = Lock
lock-unlocked = Unlocked. It locks itself again when the window closes.
lock-pin = Manager PIN
lock-wrong = That is not the PIN.
lock-wait = { $seconds ->
    [one] Too many tries. Wait { $seconds } second.
   *[other] Too many tries. Wait { $seconds } seconds.
}
lock-none = No manager PIN is set, so everybody at this register may decide.
about-version = Tillsync { $version }

## Set-up

setup-title = Set up this register
setup-steps = Step { $step } of { $steps }
setup-store = Where does your POS keep its data?
setup-store-found = Found on this machine
setup-store-none = No store was found in the usual places. Choose the file yourself.
setup-store-pick = Choose a file…
setup-store-tables = { $count ->
    [one] { $count } table
   *[other] { $count } tables
}
setup-server = Which server?
setup-server-address = Server address
setup-server-hint = Like https://sync.example.com
setup-server-test = Test the connection
setup-server-testing = Asking the server…
setup-server-ok = The server answers.
setup-code = Enrolment code
setup-code-hint = From whoever runs the server
setup-name = Register name
setup-name-hint = What people call this till, like Till 3
setup-pin = Manager PIN (optional)
setup-pin-hint = Four to eight digits. Asked for before somebody decides a conflict here.
setup-tables = What will sync
setup-table-both = both ways
setup-table-push = only sent
setup-table-pull = only received
setup-table-no = does not sync
setup-table-secret = Stays here: { $columns }
setup-table-rows = { $count ->
    [one] { $count } row
   *[other] { $count } rows
}
setup-begin = Start syncing
setup-working = Setting up…
setup-done = This register is set up
setup-done-more = The first sync has begun. You can close this window; it goes on.
setup-open = Show the status
field-missing = Please fill this in.

## Problems: what is the matter, and what a person at the window can do

problem-server-unreachable = { $failures ->
    [one] The server did not answer: { $why }.
   *[other] The server did not answer { $failures } times in a row: { $why }.
}
    .action = Check the network and the server address. Every change is kept and sent when the server answers.
problem-server-failing = The server failed { $failures } times in a row: { $why }.
    .action = Tell whoever runs the server. Every change is kept and sent when it recovers.
problem-not-a-sync-server = What answers at the server address is not a sync server: { $why }.
    .action = Check the server address, or log in to the network if it shows a log-in page.
problem-key-refused = The server refuses this register's key: { $why }.
    .action = Ask for a new enrolment code. Every change is kept.
problem-suspended = The server has suspended this register.
    .action = Ask the administrator of the server to lift the suspension. Every change is kept.
problem-copied = This is a copy of the register { $name } (device { $device }) on another machine.
    .action = Ask for an enrolment code to make it a register of its own. The POS goes on, and every change is kept.
problem-parted = This was a copy of the register { $name } on another machine; it is a register of its own now.
    .action = Nothing to do. If the other machine is gone, its device can be deleted at the server.
problem-key-missing = This register's key cannot be read: { $why }.
    .action = Unlock the keychain, or ask for a new enrolment code.
problem-parked = { $count ->
    [one] { $count } change was refused by the server or the store.
   *[other] { $count } changes were refused by the server or the store.
}
    .action = Look under Activity: send again, or give up.
problem-conflicts = { $count ->
    [one] { $count } conflict with another register.
   *[other] { $count } conflicts with other registers.
}
    .action = Decide under Conflicts which value stays.
problem-oldest-unsent = { $hours ->
    [one] The oldest unsent change is { $hours } hour old.
   *[other] The oldest unsent change is { $hours } hours old.
}
    .action = Check the network and the server.
problem-table-refused = The table { $table } does not sync: { $why }.
    .action = Ask the POS vendor for a primary key, or leave the table out.
problem-settings = The settings do not fit the store: { $why }.
    .action = Ask whoever set this register up to correct the table's settings.
problem-key-changed = The settings give the table { $table } another kind of key than its rows were synced with.
    .action = Ask whoever set this register up to set it back; otherwise the rows would come a second time.
problem-journal-lost = The POS removed a part of Tillsync's journal ({ $what }); it was put back and the store was compared row by row.
    .action = Nothing to do. If it happens often, tell the POS vendor.
problem-rows-vanished = { $count ->
    [one] { $count } row has vanished from the store without a trace; the other registers still have it.
   *[other] { $count } rows have vanished from the store without a trace; the other registers still have them.
}
    .action = If this was not intended, restore the store from a backup. If it was, tell whoever set this register up.
problem-rows-without-key = { $count ->
    [one] { $count } row of the table { $table } cannot be told apart and does not sync: its key is empty.
   *[other] { $count } rows of the table { $table } cannot be told apart and do not sync: their key is empty.
}
    .action = Give each of these rows a key of its own in the POS, or leave the table out.
problem-store-restored = The store was restored from an older copy; what it had lost is fetched from the server again.
    .action = Nothing to do.
problem-away-too-long = This register was away for longer than the server remembers what was deleted; it fetches everything anew and keeps its own changes.
    .action = Nothing to do.
problem-given-back = A row of { $table } that was deleted on another register has come back: { $why }.
    .action = Nothing to do. Delete it again once nothing refers to it.
problem-server-reset = The server was reset or restored from an older backup.
    .action = Tell whoever runs the server. This register compares, and sends again what the server lost.
problem-state = { $why }.
    .action = Free some space or repair the folder where Tillsync keeps its state. The store keeps every change.
problem-agent-not-running = Tillsync is not running.
    .action = Start it again.
problem-rollback-journal = The store uses a rollback journal, in which readers and writers block each other.
    .action = If the POS vendor agrees, switch the store to WAL.
problem-set-up-failed = { $why }.
    .action = Go back and correct it, then try again.
problem-managed = This is set by your administrator.
    .action = Ask them to change it.
problem-not-understood = This was asked for, and cannot be meant: { $what }.
    .action = Start Tillsync again.
problem-manager-only = Only a manager can decide.
    .action = Ask a manager to enter the PIN under Settings.
problem-store-missing = { $why }.
    .action = Start the POS once so that it makes its store, or correct the store's place.
problem-store-denied = { $why }.
    .action = Give the account that runs Tillsync read and write access to the file and its folder.
problem-store-not-a-database = { $why }.
    .action = Choose the POS's SQLite file. Encrypted stores cannot be synced.
problem-store-corrupt = { $why }.
    .action = Let the POS vendor repair the store or restore a backup. Unsent changes are kept.
problem-store-disk-full = { $why }.
    .action = Free some space. Nothing is lost, and syncing goes on by itself.
problem-store-incomplete = { $why }.
    .action = Wait until the copy is done, or start the POS once. It is tried again by itself.
problem-store-network-share = { $why }.
    .action = Run Tillsync on the machine whose disk holds the store.
problem-store-busy = The POS holds the store.
    .action = Nothing to do. It is tried again at once.
problem-store-owned = { $why }.
    .action = If this is a copy for another register, set it up again. Otherwise stop the other Tillsync.
problem-store-failed = { $why }.
    .action = See the log.
