/* The zap of a munmap that flushes TLBs with an IPI under the page table lock, against two speculative store faults
   [protocol.md 0.3 U2, 1.4, race R4].

   Written from the specification alone, as a second opinion on seqfault explore. One statement, or one atomic block, is one
   step. A CPU whose walker is pinned has its interrupts off, so it answers an IPI only after it unpins. Only what bears on that
   is here: the walker's pin, the lock, C1 and C3; tables are not freed (munmap.pml does that).

   Takes the safeguard away: BLOCKING_LOCK (R13 waits for the lock with the walker pinned). */

#define READERS 2
#define GOTO_IF(condition, label) if :: condition -> goto label :: else fi

byte mm_readers;
bool mm_writer;
bool linked = true;
bool pte;
bool ptl;
bool pinned[READERS];
byte ended;

/* What holds when all have ended: I2. */
inline finish()
{
    atomic {
        ended++;
        if
        :: ended == READERS + 1 -> assert(!pte)
        :: else
        fi
    }
}

active [READERS] proctype reader()
{
    /* R0: what is not eligible is a classic fault at once. */
    if
    :: true
    :: goto classic
    fi;
    /* R1-R9, of which only the walk's result is used. */
    GOTO_IF(!linked, classic);
    GOTO_IF(pte, end);  /* the other reader was faster */
    /* R10 */
    pinned[_pid] = true;
    /* R11: C1 */
    GOTO_IF(!linked, unpin);
    /* R13 */
#ifdef BLOCKING_LOCK
    atomic { !ptl -> ptl = true }
#else
    atomic {
        if
        :: !ptl -> ptl = true
        :: else -> goto unpin
        fi
    }
#endif
    /* R14: C3 */
    if
    :: !linked -> ptl = false; goto unpin
    :: else
    fi;
    /* R15 */
    pinned[_pid] = false;
    /* R16: C4, R17 */
    if
    :: !pte -> pte = true
    :: else
    fi;
    /* R18 */
    ptl = false;
    goto end;

unpin:
    pinned[_pid] = false;
classic:
    atomic { !mm_writer -> mm_readers++ }
    if
    :: linked ->
        atomic { !ptl -> ptl = true }
        pte = true;
        ptl = false
    :: else  /* a segmentation fault, which ends it too */
    fi;
    mm_readers--;
end:
    finish()
}

active proctype writer()
{
    atomic { !mm_writer && mm_readers == 0 -> mm_writer = true }
    /* U1 */
    linked = false;
    /* U2: the flush is needed if a pte was cleared, and every CPU is to answer before the lock is given back. */
    atomic { !ptl -> ptl = true }
    if
    :: pte ->
        pte = false;
        !pinned[0];
        !pinned[1]
    :: else
    fi;
    ptl = false;
    mm_writer = false;
    finish()
}
