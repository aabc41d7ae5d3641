// SPDX-License-Identifier: GPL-2.0
//! Every system call of 64-bit x86 in Linux 6.12: its number, where it is carried out by default, its groups.
//!
//! Numbers and names are those of `arch/x86/entry/syscalls/syscall_64.tbl`; a host test compares. Groups are those of
//! strace (`-e trace=%file`) with a few more. Each call of `%file`, `%desc`, `%network` and `%ipc` moves by default, so
//! that a job can name what it wants back: `mmap`, `process_madvise` and `pidfd_send_signal` are therefore not in `%desc`.

use super::group::{Group, Groups};
use super::Place;

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    /// Its number.
    pub(super) nr: u32,
    /// Its name.
    pub(super) name: &'static str,
    /// Where it is carried out by default.
    pub(super) place: Place,
    /// What it belongs to.
    pub(super) groups: Groups,
}

macro_rules! calls {
    ($( $nr:literal $name:ident $place:ident $($group:ident)*; )*) => {
        /// All of them, by what they are about.
        pub(super) static CALLS: &[Call] = CALL_LINES;

        /// The same for what is worked out at compile time, where there are no statics.
        pub(super) const CALL_LINES: &[Call] = &[$( Call {
            nr: $nr,
            name: stringify!($name),
            place: Place::$place,
            groups: Groups::EMPTY $( .with(Group::$group) )*,
        } ),*];
    };
}

calls! {
    // Files by name move: a lookup may wait for a disk or a server, and takes locks that all of Linux shares.
    2 open Move Desc File;
    4 stat Move File;
    6 lstat Move File;
    21 access Move File;
    76 truncate Move File;
    79 getcwd Move File;
    80 chdir Move File;
    82 rename Move File;
    83 mkdir Move File;
    84 rmdir Move File;
    85 creat Move Desc File;
    86 link Move File;
    87 unlink Move File;
    88 symlink Move File;
    89 readlink Move File;
    90 chmod Move File;
    92 chown Move File;
    94 lchown Move File;
    132 utime Move File;
    133 mknod Move File;
    136 ustat Move File;
    137 statfs Move File;
    139 sysfs Move File;
    188 setxattr Move File;
    189 lsetxattr Move File;
    191 getxattr Move File;
    192 lgetxattr Move File;
    194 listxattr Move File;
    195 llistxattr Move File;
    197 removexattr Move File;
    198 lremovexattr Move File;
    235 utimes Move File;
    254 inotify_add_watch Move Desc File;
    257 openat Move Desc File;
    258 mkdirat Move Desc File;
    259 mknodat Move Desc File;
    260 fchownat Move Desc File;
    261 futimesat Move Desc File;
    262 newfstatat Move Desc File;
    263 unlinkat Move Desc File;
    264 renameat Move Desc File;
    265 linkat Move Desc File;
    266 symlinkat Move Desc File;
    267 readlinkat Move Desc File;
    268 fchmodat Move Desc File;
    269 faccessat Move Desc File;
    280 utimensat Move Desc File;
    301 fanotify_mark Move Desc File;
    303 name_to_handle_at Move Desc File;
    304 open_by_handle_at Move Desc;
    316 renameat2 Move Desc File;
    332 statx Move Desc File;
    437 openat2 Move Desc File;
    439 faccessat2 Move Desc File;
    452 fchmodat2 Move Desc File;

    // A fault on a page of a file that must be read first is a file access that no call announces.
    511 file_fault Move File;

    // File systems as a whole move: they wait for disks, and long.
    155 pivot_root Move File;
    161 chroot Move File;
    162 sync Move File;
    163 acct Move File;
    165 mount Move File;
    166 umount2 Move File;
    167 swapon Move File;
    168 swapoff Move File;
    179 quotactl Move File;
    306 syncfs Move Desc;
    428 open_tree Move Desc File;
    429 move_mount Move Desc File;
    430 fsopen Move Desc;
    431 fsconfig Move Desc File;
    432 fsmount Move Desc;
    433 fspick Move Desc File;
    442 mount_setattr Move Desc File;
    443 quotactl_fd Move Desc;
    457 statmount Move File;
    458 listmount Move File;

    // What reads, writes or changes an open file moves: behind it may be a disk, a terminal, a pipe or a driver, whose
    // work would otherwise come back to this CPU as timers, softirqs and kworkers.
    0 read Move Desc;
    1 write Move Desc;
    3 close Move Desc;
    5 fstat Move Desc;
    8 lseek Move Desc;
    16 ioctl Move Desc;
    17 pread64 Move Desc;
    18 pwrite64 Move Desc;
    19 readv Move Desc;
    20 writev Move Desc;
    22 pipe Move Desc;
    32 dup Move Desc;
    33 dup2 Move Desc;
    40 sendfile Move Desc Network;
    72 fcntl Move Desc;
    73 flock Move Desc;
    74 fsync Move Desc;
    75 fdatasync Move Desc;
    77 ftruncate Move Desc;
    78 getdents Move Desc;
    81 fchdir Move Desc;
    91 fchmod Move Desc;
    93 fchown Move Desc;
    138 fstatfs Move Desc;
    187 readahead Move Desc;
    190 fsetxattr Move Desc;
    193 fgetxattr Move Desc;
    196 flistxattr Move Desc;
    199 fremovexattr Move Desc;
    217 getdents64 Move Desc;
    221 fadvise64 Move Desc;
    253 inotify_init Move Desc;
    255 inotify_rm_watch Move Desc;
    275 splice Move Desc;
    276 tee Move Desc;
    277 sync_file_range Move Desc;
    278 vmsplice Move Desc;
    285 fallocate Move Desc;
    292 dup3 Move Desc;
    293 pipe2 Move Desc;
    294 inotify_init1 Move Desc;
    295 preadv Move Desc;
    296 pwritev Move Desc;
    300 fanotify_init Move Desc;
    326 copy_file_range Move Desc;
    327 preadv2 Move Desc;
    328 pwritev2 Move Desc;
    436 close_range Move Desc;
    451 cachestat Move Desc;

    // Waiting for open files moves: the poll functions of drivers and sockets run meanwhile.
    7 poll Move Desc Poll;
    23 select Move Desc Poll;
    213 epoll_create Move Desc Poll;
    232 epoll_wait Move Desc Poll;
    233 epoll_ctl Move Desc Poll;
    270 pselect6 Move Desc Poll;
    271 ppoll Move Desc Poll;
    281 epoll_pwait Move Desc Poll;
    291 epoll_create1 Move Desc Poll;
    441 epoll_pwait2 Move Desc Poll;

    // Objects of the kernel behind a descriptor move: making them takes much kernel memory, and they are read as files.
    282 signalfd Move Desc Signal;
    283 timerfd_create Move Desc;
    284 eventfd Move Desc;
    286 timerfd_settime Move Desc;
    287 timerfd_gettime Move Desc;
    289 signalfd4 Move Desc Signal;
    290 eventfd2 Move Desc;
    298 perf_event_open Move Desc;
    308 setns Move Desc;
    319 memfd_create Move Desc;
    321 bpf Move Desc;
    323 userfaultfd Move Desc;
    434 pidfd_open Move Desc;
    438 pidfd_getfd Move Desc;
    444 landlock_create_ruleset Move Desc;
    445 landlock_add_rule Move Desc;
    446 landlock_restrict_self Move Desc;
    447 memfd_secret Move Desc;

    // Asynchronous input and output moves as the synchronous does: submitting it does much of the work.
    206 io_setup Move Desc Memory;
    207 io_destroy Move Desc Memory;
    208 io_getevents Move Desc;
    209 io_submit Move Desc;
    210 io_cancel Move Desc;
    333 io_pgetevents Move Desc;
    425 io_uring_setup Move Desc;
    426 io_uring_enter Move Desc Signal;
    427 io_uring_register Move Desc Memory;

    // The network moves: sending runs the softirqs of the protocol and the driver on the CPU that sends.
    41 socket Move Network;
    42 connect Move Network;
    43 accept Move Network;
    44 sendto Move Network;
    45 recvfrom Move Network;
    46 sendmsg Move Network;
    47 recvmsg Move Network;
    48 shutdown Move Network;
    49 bind Move Network;
    50 listen Move Network;
    51 getsockname Move Network;
    52 getpeername Move Network;
    53 socketpair Move Network;
    54 setsockopt Move Network;
    55 getsockopt Move Network;
    288 accept4 Move Network;
    299 recvmmsg Move Network;
    307 sendmmsg Move Network;

    // IPC of System V and POSIX moves: its tables and pages are memory of Linux. Fast programs use futexes instead.
    29 shmget Move Ipc;
    30 shmat Move Ipc Memory;
    31 shmctl Move Ipc;
    64 semget Move Ipc;
    65 semop Move Ipc;
    66 semctl Move Ipc;
    67 shmdt Move Ipc Memory;
    68 msgget Move Ipc;
    69 msgsnd Move Ipc;
    70 msgrcv Move Ipc;
    71 msgctl Move Ipc;
    220 semtimedop Move Ipc;
    240 mq_open Move Desc Ipc;
    241 mq_unlink Move Ipc;
    242 mq_timedsend Move Desc Ipc;
    243 mq_timedreceive Move Desc Ipc;
    244 mq_notify Move Desc Ipc;
    245 mq_getsetattr Move Desc Ipc;

    // New processes and programs and the end of old ones move: they copy or drop whole address spaces and file tables,
    // and free what others still wait for.
    57 fork Move Process;
    58 vfork Move Process;
    59 execve Move File Process;
    60 exit Move Process;
    101 ptrace Move Process;
    231 exit_group Move Process;
    272 unshare Move Process;
    322 execveat Move Desc File Process;
    448 process_mrelease Move Process Memory;

    // New threads stay: programs start them often and wait for it. So do the calls that wait for their end.
    56 clone Local Process;
    61 wait4 Local Process;
    247 waitid Local Process;
    435 clone3 Local Process;

    // What belongs to the thread itself or only reads or sets a field of the process stays: going costs more.
    134 uselib Local;
    135 personality Local Process;
    154 modify_ldt Local Process;
    157 prctl Local Creds Process;
    158 arch_prctl Local Process;
    172 iopl Local Process;
    173 ioperm Local Process;
    218 set_tid_address Local Process;
    312 kcmp Local Process;
    317 seccomp Local Process;
    334 rseq Local Sched;

    // Memory stays: the LWK answers it itself, or at least on the CPU whose tables and TLB it is about.
    9 mmap Local Memory;
    10 mprotect Local Memory;
    11 munmap Local Memory;
    12 brk Local Memory;
    25 mremap Local Memory;
    27 mincore Local Memory;
    28 madvise Local Memory;
    149 mlock Local Memory;
    150 munlock Local Memory;
    151 mlockall Local Memory;
    152 munlockall Local Memory;
    216 remap_file_pages Local Memory;
    237 mbind Local Memory;
    238 set_mempolicy Local Memory;
    239 get_mempolicy Local Memory;
    256 migrate_pages Local Memory;
    279 move_pages Local Memory;
    310 process_vm_readv Local Memory;
    311 process_vm_writev Local Memory;
    324 membarrier Local Memory;
    325 mlock2 Local Memory;
    329 pkey_mprotect Local Memory;
    330 pkey_alloc Local Memory;
    331 pkey_free Local Memory;
    440 process_madvise Local Memory;
    450 set_mempolicy_home_node Local Memory;
    453 map_shadow_stack Local Memory;
    462 mseal Local Memory;

    // But writing a mapped file back waits for its disk.
    26 msync Move Memory;

    // Scheduling stays: it is about this CPU.
    24 sched_yield Native Sched;
    140 getpriority Local Sched;
    141 setpriority Local Sched;
    142 sched_setparam Local Sched;
    143 sched_getparam Local Sched;
    144 sched_setscheduler Local Sched;
    145 sched_getscheduler Local Sched;
    146 sched_get_priority_max Local Sched;
    147 sched_get_priority_min Local Sched;
    148 sched_rr_get_interval Local Sched;
    203 sched_setaffinity Local Sched;
    204 sched_getaffinity Local Sched;
    251 ioprio_set Local Sched;
    252 ioprio_get Local Sched;
    309 getcpu Local Sched;
    314 sched_setattr Local Sched;
    315 sched_getattr Local Sched;

    // Futexes stay: locks and barriers of parallel programs, where each microsecond counts.
    202 futex Local Futex;
    273 set_robust_list Local Futex;
    274 get_robust_list Local Futex;
    449 futex_waitv Local Futex;
    454 futex_wake Local Futex;
    455 futex_wait Local Futex;
    456 futex_requeue Local Futex;

    // Signals stay: they act on threads, which are here.
    13 rt_sigaction Local Signal;
    14 rt_sigprocmask Local Signal;
    15 rt_sigreturn Local Signal;
    34 pause Local Signal;
    62 kill Local Signal Process;
    127 rt_sigpending Local Signal;
    128 rt_sigtimedwait Local Signal;
    129 rt_sigqueueinfo Local Signal Process;
    130 rt_sigsuspend Local Signal;
    131 sigaltstack Local Signal;
    200 tkill Local Signal Process;
    234 tgkill Local Signal Process;
    297 rt_tgsigqueueinfo Local Signal Process;
    424 pidfd_send_signal Local Signal Process;

    // Clocks, sleeps and timers stay: what counts is when they are over, on this CPU.
    35 nanosleep Native Time;
    36 getitimer Local Time;
    37 alarm Local Time;
    38 setitimer Local Time;
    96 gettimeofday Local Clock;
    159 adjtimex Local Clock;
    164 settimeofday Local Clock;
    201 time Local Clock;
    219 restart_syscall Local Time;
    222 timer_create Local Time;
    223 timer_settime Local Time;
    224 timer_gettime Local Time;
    225 timer_getoverrun Local Time;
    226 timer_delete Local Time;
    227 clock_settime Local Clock;
    228 clock_gettime Local Clock;
    229 clock_getres Local Clock;
    230 clock_nanosleep Native Clock Time;
    305 clock_adjtime Local Clock;

    // Who one is and what one may and has used stays: it reads or sets a few words.
    39 getpid Local Identity;
    63 uname Local Identity;
    95 umask Local Identity;
    97 getrlimit Local Identity;
    98 getrusage Local Identity;
    99 sysinfo Local Identity;
    100 times Local Identity;
    102 getuid Local Creds Identity;
    104 getgid Local Creds Identity;
    105 setuid Local Creds Identity;
    106 setgid Local Creds Identity;
    107 geteuid Local Creds Identity;
    108 getegid Local Creds Identity;
    109 setpgid Local Identity;
    110 getppid Local Identity;
    111 getpgrp Local Identity;
    112 setsid Local Identity;
    113 setreuid Local Creds Identity;
    114 setregid Local Creds Identity;
    115 getgroups Local Creds Identity;
    116 setgroups Local Creds Identity;
    117 setresuid Local Creds Identity;
    118 getresuid Local Creds Identity;
    119 setresgid Local Creds Identity;
    120 getresgid Local Creds Identity;
    121 getpgid Local Identity;
    122 setfsuid Local Creds Identity;
    123 setfsgid Local Creds Identity;
    124 getsid Local Identity;
    125 capget Local Creds;
    126 capset Local Creds;
    160 setrlimit Local Identity;
    186 gettid Local Identity;
    302 prlimit64 Local Identity;
    318 getrandom Local;
    459 lsm_get_self_attr Local Creds;
    460 lsm_set_self_attr Local Creds;
    461 lsm_list_modules Local Creds;

    // Administration of the machine moves: seldom, long, and with locks that all of Linux waits for.
    103 syslog Move;
    153 vhangup Move;
    169 reboot Move;
    170 sethostname Move;
    171 setdomainname Move;
    175 init_module Move;
    176 delete_module Move;
    246 kexec_load Move;
    248 add_key Move;
    249 request_key Move;
    250 keyctl Move;
    313 finit_module Move Desc;
    320 kexec_file_load Move Desc;

    // A uretprobe's trampoline makes this one, never a program.
    335 uretprobe Local;

    // Numbers that Linux 6.12 answers with ENOSYS.
    156 _sysctl Local;
    174 create_module Local;
    177 get_kernel_syms Local;
    178 query_module Local;
    180 nfsservctl Local;
    181 getpmsg Local;
    182 putpmsg Local;
    183 afs_syscall Local;
    184 tuxcall Local;
    185 security Local;
    205 set_thread_area Local;
    211 get_thread_area Local;
    212 lookup_dcookie Local;
    214 epoll_ctl_old Local;
    215 epoll_wait_old Local;
    236 vserver Local;
}
