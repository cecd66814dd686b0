/* Munmap (detach based) against two speculative store faults of the same page [protocol.md 0.2, 0.3].

   Written from the specification alone, as a second opinion on seqfault explore. One statement, or one atomic block, is one
   step. A fault makes one speculative attempt; when that aborts it is made under the mm lock. Not here: R3-R6 (nothing that
   they read changes in this operation), TLBs, and weak memory: steps are sequentially consistent.

   Each of these takes one safeguard away: NO_C1 NO_C2 NO_C3 NO_PIN NO_R8 NO_UNDO FREE_WITHOUT_WAIT UNLINK_AFTER_ZAP ZAP_WITHOUT_PTL */

#define READERS 2
#define GOTO_IF(condition, label) if :: condition -> goto label :: else fi
#define FRAMES 4  /* an attempt and a classic fault of each reader: the pool is never empty, even where nothing is undone */

/* The mm lock. */
byte mm_readers;
bool mm_writer;

/* The VMA; `ref` counts the index and the readers that use it. */
bool in_index = true;
bool linked = true;
bool vma_alive = true;
byte seq;
byte ref = 1;

/* pud entry -> pmd page, whose entry pmd -> leaf table, which holds one pte and its lock. */
bool pud = true;
bool pmd = true;
bool pte;
bool ptl;
bool pmd_page_alive = true;
bool leaf_alive = true;
bool pinned[READERS];

byte free_frames = FRAMES;
byte ended;

inline put_vma()
{
    atomic {
        assert(vma_alive);
        ref--;
        if
        :: ref == 0 -> vma_alive = false
        :: else
        fi
    }
}

/* What holds when all have ended: I2 and I4. */
inline finish()
{
    atomic {
        ended++;
        if
        :: ended == READERS + 1 ->
            assert(!pte);
            assert(free_frames == FRAMES)
        :: else
        fi
    }
}

active [READERS] proctype reader()
{
    byte my_seq;
    bool orig_pmd;
    bool holds_frame;
    bool served;

    /* R0: what is not eligible is a classic fault at once. */
    if
    :: true
    :: goto classic
    fi;
    /* R1: find and pin the VMA, atomically with respect to unlink. */
    atomic {
        if
        :: in_index -> ref++
        :: else -> goto classic
        fi
    }
    /* R2 */
    atomic {
        assert(vma_alive);
        my_seq = seq;
        GOTO_IF(my_seq % 2, put)
    }
    /* R7: one read per entry, with the walker pinned. */
    pinned[_pid] = true;
    GOTO_IF(!pud, unpin);
    atomic {
        assert(pmd_page_alive);
        orig_pmd = pmd;
        GOTO_IF(!orig_pmd, unpin)
    }
    atomic {
        assert(leaf_alive);
        if
        :: pte -> served = true; goto unpin  /* the other reader was faster */
        :: else
        fi
    }
    pinned[_pid] = false;
#ifndef NO_R8
    atomic {
        assert(vma_alive);
        GOTO_IF(seq != my_seq, put)
    }
#endif
    /* R9 */
    atomic { assert(free_frames > 0); free_frames--; holds_frame = true }
    /* R10 */
#ifndef NO_PIN
    pinned[_pid] = true;
#endif
#ifndef NO_C1
    /* R11 */
    atomic {
        assert(vma_alive);
        GOTO_IF(!linked || seq != my_seq, unpin)
    }
#endif
#ifndef NO_C2
    /* R12 */
    atomic {
        assert(pmd_page_alive);
        GOTO_IF(pmd != orig_pmd, unpin)
    }
#endif
    /* R13: the lock is in the table. */
    atomic {
        assert(leaf_alive);
        if
        :: !ptl -> ptl = true
        :: else -> goto unpin
        fi
    }
#ifndef NO_C3
    /* R14: on failure the lock goes before the pin does. */
    atomic {
        assert(vma_alive);
        GOTO_IF(!linked || seq != my_seq, unlock_changed)
    }
#endif
    /* R15 */
    pinned[_pid] = false;
    served = true;
    /* R16: C4 */
    atomic {
        assert(leaf_alive);
        GOTO_IF(pte, unlock)
    }
    /* R17 */
    atomic { assert(leaf_alive); assert(!pte); pte = true; holds_frame = false }
unlock:
    /* R18 */
    atomic { assert(leaf_alive); ptl = false }
    goto undo;

unlock_changed:
    atomic { assert(leaf_alive); ptl = false }
unpin:
    pinned[_pid] = false;
undo:
    atomic {
        if
        :: holds_frame ->
            holds_frame = false;
#ifndef NO_UNDO
            free_frames++
#endif
        :: else
        fi
    }
put:
    put_vma();
    GOTO_IF(served, end);

classic:
    /* The mm lock as reader excludes the writer; another classic fault is excluded by the PTL. */
    atomic { !mm_writer -> mm_readers++ }
    if
    :: in_index ->
        atomic { !ptl -> assert(leaf_alive); ptl = true }
        atomic {
            assert(leaf_alive);
            if
            :: !pte -> assert(free_frames > 0); free_frames--; pte = true
            :: else
            fi
        }
        atomic { assert(leaf_alive); ptl = false }
    :: else  /* a segmentation fault, which ends it too */
    fi;
    mm_readers--;
end:
    finish()
}

/* U1: out of the index, and only then not linked. */
inline unlink_vma()
{
    in_index = false;
    linked = false
}

/* U2 */
inline zap()
{
#ifndef ZAP_WITHOUT_PTL
    atomic { !ptl -> ptl = true }
#endif
    atomic {
        if
        :: pte -> pte = false; free_frames++
        :: else
        fi
    }
#ifndef ZAP_WITHOUT_PTL
    ptl = false
#endif
}

active proctype writer()
{
    atomic { !mm_writer && mm_readers == 0 -> mm_writer = true }
#ifdef UNLINK_AFTER_ZAP
    zap();
    unlink_vma();
#else
    unlink_vma();
    zap();
#endif
    /* U3: unlink anon_vma inside a section. */
    seq++;
    seq++;
    /* U4 */
    pmd = false;
    pud = false;
#ifndef FREE_WITHOUT_WAIT
    /* U5: every CPU in turn, as an IPI or a grace period does; not "nobody is pinned at this moment". */
    !pinned[0];
    !pinned[1];
#endif
    /* U6: a pte that is still there can never be zapped (I2). */
    atomic { assert(!pte); leaf_alive = false }
    pmd_page_alive = false;
    /* U7 */
    put_vma();
    mm_writer = false;
    finish()
}
