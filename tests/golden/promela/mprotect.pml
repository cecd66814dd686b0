/* Mprotect that removes the right to write, against two faults of the same page [protocol.md 0.2, 0.3].

   Written from the specification alone, as a second opinion on seqfault explore. One statement, or one atomic block, is one
   step. Each fault is a load or a store, makes one speculative attempt, and is made under the mm lock when that aborts. The VMA
   stays linked and no table moves, so R1, R5, R10, R12 and R15 have nothing to find and are not here; nor are TLBs, nor weak memory.

   Each of these takes one safeguard away: NO_C1 NO_C3 NO_R8 REREAD_AT_COMMIT ACCEPT_ODD NO_BUMP */

#define READERS 2
#define GOTO_IF(condition, label) if :: condition -> goto label :: else fi
#define NONE 0
#define ENTRY(writable, template) (1 + 2 * (writable) + 4 * (template))
#define WRITABLE(entry) (((entry) >> 1) & 1)
#define TEMPLATE(entry) (((entry) >> 2) & 1)
#define ENOUGH(entry) ((entry) != NONE && (!store || WRITABLE(entry)))

byte mm_readers;
bool mm_writer;

/* Two fields, written apart: true while the VMA may be written. */
byte seq;
bool flags = true;
bool prot = true;

byte pte = NONE;
bool ptl;
byte ended;

/* What holds when all have ended: I3. */
inline finish()
{
    atomic {
        ended++;
        if
        :: ended == READERS + 1 ->
            assert(!WRITABLE(pte));
            assert(pte == NONE || TEMPLATE(pte) == prot)
        :: else
        fi
    }
}

active [READERS] proctype reader()
{
    bool store;
    byte my_seq;
    bool my_flags;
    bool my_prot;
    byte orig_pte;

    if
    :: store = false
    :: store = true
    fi;
    /* R0: what is not eligible is a classic fault at once. */
    if
    :: true
    :: goto classic
    fi;
    /* R2 */
    my_seq = seq;
#ifndef ACCEPT_ODD
    GOTO_IF(my_seq % 2, classic);
#endif
    /* R4: each field is read once. */
    my_flags = flags;
    my_prot = prot;
    /* R6: a refusal is not believed, the classic fault is to say it. */
    GOTO_IF(store && !my_flags, classic);
    /* R7 */
    orig_pte = pte;
    GOTO_IF(ENOUGH(orig_pte), end);  /* the other reader was faster */
#ifndef NO_R8
    GOTO_IF(seq != my_seq, classic);
#endif
#ifndef NO_C1
    /* R11 */
    GOTO_IF(seq != my_seq, classic);
#endif
    /* R13 */
    atomic {
        if
        :: !ptl -> ptl = true
        :: else -> goto classic
        fi
    }
#ifndef NO_C3
    /* R14 */
    if
    :: seq != my_seq -> ptl = false; goto classic
    :: else
    fi;
#endif
#ifdef REREAD_AT_COMMIT
    my_flags = flags;
    my_prot = prot;
#endif
    /* R16: C4, and R17 from the snapshot, whose fields must be of one version (I3). */
    if
    :: pte != orig_pte
    :: else -> atomic { assert(my_flags == my_prot); pte = ENTRY(store && my_flags, my_prot) }
    fi;
    /* R18 */
    ptl = false;
    goto end;

classic:
    atomic { !mm_writer -> mm_readers++ }
    if
    :: store && !flags  /* a segmentation fault, which ends it too */
    :: else ->
        atomic { !ptl -> ptl = true }
        atomic {
            if
            :: ENOUGH(pte)
            :: else -> pte = ENTRY(store && flags, prot)
            fi
        }
        ptl = false
    fi;
    mm_readers--;
end:
    finish()
}

active proctype writer()
{
    atomic { !mm_writer && mm_readers == 0 -> mm_writer = true }
#ifndef NO_BUMP
    /* W1 */
    seq++;
#endif
    /* W2: one store each. */
    flags = false;
    prot = false;
    /* W3 */
    atomic { !ptl -> ptl = true }
    if
    :: pte != NONE -> pte = ENTRY(false, false)
    :: else
    fi;
    ptl = false;
#ifndef NO_BUMP
    /* W4 */
    seq++;
#endif
    mm_writer = false;
    finish()
}
