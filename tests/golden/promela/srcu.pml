/* Sleepable RCU: three readers, and an updater that replaces an object and frees the old one, twice [protocol.md 3].

   Written from the specification alone, as a second opinion on seqfault explore. One statement, or one atomic block, is one
   step: a lock is two (fetch the index, count), and each counter is summed by itself, CPU by CPU. A reader runs on either CPU and may
   count its unlock on the other. Barriers are not here: steps are sequentially consistent.

   Each of these takes one safeguard away: NO_FIRST_SCAN NO_SECOND_SCAN LOCKS_FIRST */

#define READERS 3
#define GRACE_PERIODS 2
#define OBJECTS 3
#define COUNTER(cpu, bank) ((cpu) * 2 + (bank))

bool idx;  /* only the low bit of the counter is ever used */
byte locks[4];
byte unlocks[4];

byte current;
bool freed[OBJECTS];

active [READERS] proctype reader()
{
    bool bank;
    byte object;

    /* Lock: no test, no loop. */
    bank = idx;
    if
    :: locks[COUNTER(0, bank)]++
    :: locks[COUNTER(1, bank)]++
    fi;
    object = current;
    /* It may sleep here, for as long as it likes. */
    assert(!freed[object]);
    /* Unlock, on whatever CPU. */
    if
    :: unlocks[COUNTER(0, bank)]++
    :: unlocks[COUNTER(1, bank)]++
    fi
}

inline sum_unlocks(bank)
{
    unlocked = unlocks[COUNTER(0, bank)];
    unlocked = unlocked + unlocks[COUNTER(1, bank)]
}

inline sum_locks(bank)
{
    locked = locks[COUNTER(0, bank)];
    locked = locked + locks[COUNTER(1, bank)]
}

/* Polls until the bank has no readers. */
inline scan(bank)
{
    do
    ::
#ifdef LOCKS_FIRST
        sum_locks(bank);
        sum_unlocks(bank);
#else
        sum_unlocks(bank);
        sum_locks(bank);
#endif
        if
        :: locked == unlocked -> break
        :: else -> atomic { locked = 0; unlocked = 0 }
        fi
    od;
    atomic { locked = 0; unlocked = 0 }
}

active proctype updater()
{
    byte old;
    byte locked;
    byte unlocked;

    do
    :: old < GRACE_PERIODS ->
        current = old + 1;
#ifndef NO_FIRST_SCAN
        scan(1 - idx);
#endif
        /* Flip: SCAN2 waits for the bank that was active before. */
        idx = 1 - idx;
#ifndef NO_SECOND_SCAN
        scan(1 - idx);
#endif
        freed[old] = true;
        old++
    :: else -> break
    od
}
