//! Takes from this process, and from all that it starts, what a check must not have. There is no way
//! back: whoever calls [`enter`] runs the check next.
//!
//! Three walls, each as far as the running kernel has it:
//!
//! - Landlock: files are read where [`super::paths`] allows and written in named folders alone; no
//!   signals to, and no tracing of, processes outside; no abstract sockets of others.
//! - A network of its own, where user namespaces are allowed: a test finds its own servers and nobody
//!   else; likewise shared memory and pseudo-terminals. Otherwise no socket can be made at all.
//! - seccomp: no sockets of other kinds, no `io_uring` (which makes sockets without being asked), no
//!   keyrings, mounts, kernel modules. Unix sockets, which lead to session buses and container
//!   engines, are allowed only where Landlock can tell theirs from ours (its version 9); pairs of
//!   connected sockets always.
//!
//! Not covered: Landlock does not know `chmod`, `chown`, times and extended attributes, so a check can
//! change those of files that its owner owns.

#[cfg(target_os = "linux")]
pub use linux::enter;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::enter;

/// What is wanted of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// A network of its own.
    Namespace,
    /// No sockets.
    Filter,
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::path::PathBuf;

    use super::Isolation;
    use crate::check::order::Confinement;

    pub fn enter(
        _hidden: &[PathBuf],
        _writable: &[PathBuf],
        _isolation: Isolation,
    ) -> anyhow::Result<Confinement> {
        let missing = vec!["checks are sandboxed on Linux only".to_owned()];
        Ok(Confinement { missing, ..Confinement::default() })
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::io::Write as _;
    use std::path::PathBuf;

    use anyhow::{Context as _, bail, ensure};
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, LandlockStatus, Ruleset, RulesetAttr as _,
        RulesetCreatedAttr as _, RulesetStatus, Scope, path_beneath_rules,
    };
    use nix::mount::{MsFlags, mount};
    use nix::sched::CloneFlags;
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule,
    };

    use super::Isolation;
    use crate::check::order::{Confinement, Network};
    use crate::check::paths;

    /// The newest version that this was written for. Older kernels give less, and that is reported.
    const NEWEST: ABI = ABI::V9;

    /// Enters the sandbox and says what it holds back.
    ///
    /// # Errors
    /// When something that this kernel has cannot be used. The caller must not go on then.
    pub fn enter(
        hidden: &[PathBuf],
        writable: &[PathBuf],
        isolation: Isolation,
    ) -> anyhow::Result<Confinement> {
        let mut confinement = Confinement::default();
        if isolation == Isolation::Namespace {
            own_namespaces()?;
            confinement.network = Network::Loopback;
            match own_devices() {
                Ok(()) => confinement.devices = true,
                Err(error) => {
                    let why = format!("shared memory and pseudo-terminals cannot be used ({error})");
                    confinement.missing.push(why);
                }
            }
        }
        files(hidden, writable, isolation, &mut confinement)?;
        match seccompiler::TargetArch::try_from(std::env::consts::ARCH) {
            Ok(architecture) => {
                system_calls(architecture, isolation, confinement.landlock >= ABI::V9 as u32)?;
                if isolation == Isolation::Filter {
                    confinement.network = Network::Closed;
                }
            }
            Err(_) if isolation == Isolation::Namespace => {
                confinement.missing.push("system calls are not filtered on this processor".to_owned());
            }
            Err(_) => {
                confinement.missing.push("the network is open: no filter for this processor".to_owned());
            }
        }
        Ok(confinement)
    }

    fn files(
        hidden: &[PathBuf],
        writable: &[PathBuf],
        isolation: Isolation,
        confinement: &mut Confinement,
    ) -> anyhow::Result<()> {
        let mut ruleset =
            Ruleset::default().handle_access(AccessFs::from_all(NEWEST))?.scope(Scope::from_all(NEWEST))?;
        if isolation == Isolation::Filter {
            ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
        }
        let readable = paths::readable_system(hidden);
        let mut devices = paths::writable_devices();
        if confinement.devices {
            devices.extend(OWN_DEVICES.map(PathBuf::from));
        }
        let status = ruleset
            .create()?
            .add_rules(path_beneath_rules(&readable, AccessFs::from_read(NEWEST)))?
            .add_rules(path_beneath_rules(&devices, AccessFs::from_all(NEWEST)))?
            .add_rules(path_beneath_rules(writable, AccessFs::from_all(NEWEST)))?
            .restrict_self()
            .context("Landlock cannot be used")?;
        match status.landlock {
            LandlockStatus::Available { effective_abi, .. } => {
                ensure!(status.ruleset != RulesetStatus::NotEnforced, "Landlock took no rules");
                confinement.landlock = effective_abi as u32;
                confinement.signals = effective_abi >= ABI::V6;
                if effective_abi < ABI::V3 {
                    let why = "files outside can be cut short (Linux 6.2 prevents it)";
                    confinement.missing.push(why.to_owned());
                }
                if effective_abi < ABI::V6 {
                    let why = "signals reach your other processes (Linux 6.12 prevents it)";
                    confinement.missing.push(why.to_owned());
                }
            }
            LandlockStatus::NotEnabled => {
                let why = "files are not confined: Landlock is switched off in this kernel (see its lsm= parameter)";
                confinement.missing.push(why.to_owned());
            }
            LandlockStatus::NotImplemented => {
                let why = "files are not confined: this kernel has no Landlock (Linux 5.13 or newer does)";
                confinement.missing.push(why.to_owned());
            }
        }
        Ok(())
    }

    /// System calls that no check needs and that reach beyond it: the kernel's own state, mounts,
    /// keyrings, other namespaces, and rings that do work unseen by this filter.
    const DENIED: [i64; 38] = [
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_keyctl,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_chroot,
        libc::SYS_pivot_root,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_fsopen,
        libc::SYS_fsconfig,
        libc::SYS_fsmount,
        libc::SYS_fspick,
        libc::SYS_open_tree,
        libc::SYS_move_mount,
        libc::SYS_mount_setattr,
        libc::SYS_open_by_handle_at,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_delete_module,
        libc::SYS_kexec_load,
        libc::SYS_reboot,
        libc::SYS_swapon,
        libc::SYS_swapoff,
        libc::SYS_settimeofday,
        libc::SYS_clock_settime,
        libc::SYS_clock_adjtime,
        libc::SYS_adjtimex,
        libc::SYS_sethostname,
        libc::SYS_setdomainname,
        libc::SYS_acct,
        libc::SYS_syslog,
    ];

    fn system_calls(
        architecture: seccompiler::TargetArch,
        isolation: Isolation,
        unix_sockets_are_confined: bool,
    ) -> anyhow::Result<()> {
        let mut families: Vec<i32> = Vec::new();
        if isolation == Isolation::Namespace {
            families.extend([libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK]);
        }
        if unix_sockets_are_confined {
            families.push(libc::AF_UNIX);
        }
        let others = families
            .into_iter()
            .map(|family| SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family as u64))
            .collect::<Result<Vec<_>, _>>()?;
        // A rule without conditions is not one; no rules at all means always.
        let socket = match others.is_empty() {
            true => Vec::new(),
            false => vec![SeccompRule::new(others)?],
        };
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = DENIED.map(|call| (call, Vec::new())).into();
        rules.insert(libc::SYS_socket, socket);
        // The same calls once more under the numbers of the x32 interface.
        #[cfg(target_arch = "x86_64")]
        for (call, rule) in rules.clone() {
            const X32: i64 = 0x4000_0000;
            rules.insert(call | X32, rule);
        }
        let refused = SeccompAction::Errno(libc::EPERM as u32);
        let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture)?;
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program).context("the kernel took no system call filter")
    }

    /// Where programs look for shared memory and pseudo-terminals.
    const OWN_DEVICES: [&str; 3] = ["/dev/shm", "/dev/pts", "/dev/ptmx"];

    /// Puts empty ones in place of those that other programs of the same user have open. Only for this
    /// process and what it starts.
    fn own_devices() -> nix::Result<()> {
        let none = None::<&str>;
        // What is mounted here is not to appear outside.
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), "/dev/shm", Some("tmpfs"), flags, Some("size=25%,mode=1777"))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount(Some("devpts"), "/dev/pts", Some("devpts"), flags, Some("newinstance,ptmxmode=0666"))?;
        mount(Some("/dev/pts/ptmx"), "/dev/ptmx", none, MsFlags::MS_BIND, none)
    }

    /// Moves this process, which must have one thread, into a network that has only a loopback device,
    /// and gives it mounts and System V memory of its own.
    fn own_namespaces() -> anyhow::Result<()> {
        let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
        nix::sched::unshare(
            CloneFlags::CLONE_NEWUSER
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWIPC,
        )
        .context("user namespaces are not allowed here")?;
        let write = |name: &str, text: String| {
            let mut file = std::fs::OpenOptions::new().write(true).open(format!("/proc/self/{name}"))?;
            file.write_all(text.as_bytes())
        };
        write("setgroups", "deny".to_owned()).context("cannot set up a user namespace")?;
        let (user, group) = (user.as_raw(), group.as_raw());
        write("uid_map", format!("{user} {user} 1")).context("cannot set up a user namespace")?;
        write("gid_map", format!("{group} {group} 1")).context("cannot set up a user namespace")?;
        raise_loopback().context("cannot switch on the loopback device")
    }

    /// Sends `RTM_NEWLINK` for the first device of this network, which is loopback: rtnetlink(7).
    fn raise_loopback() -> anyhow::Result<()> {
        const UP: u32 = 1;
        let mut message = Vec::with_capacity(32);
        message.extend(32_u32.to_ne_bytes());
        message.extend(libc::RTM_NEWLINK.to_ne_bytes());
        message.extend(((libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16).to_ne_bytes());
        message.extend(1_u32.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        // ifinfomsg: family, padding, type, index, flags, mask of the flags to change.
        message.extend([0, 0, 0, 0]);
        message.extend(1_i32.to_ne_bytes());
        message.extend(UP.to_ne_bytes());
        message.extend(UP.to_ne_bytes());
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            // Protocol 0 of this family is NETLINK_ROUTE.
            None,
        )?;
        rustix::io::write(&socket, &message)?;
        let mut answer = [0; 128];
        let length = rustix::io::read(&socket, &mut answer)?;
        match answer[..length].get(16..20) {
            Some([0, 0, 0, 0]) => Ok(()),
            Some(code) => {
                let code = i32::from_ne_bytes([code[0], code[1], code[2], code[3]]);
                Err(std::io::Error::from_raw_os_error(-code).into())
            }
            None => bail!("the kernel's answer is too short"),
        }
    }
}
