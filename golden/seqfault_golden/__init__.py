"""The golden model of seqfault: RISC-V translation and the lock-free fault protocol, written from the specifications. Imports nothing of ours."""
