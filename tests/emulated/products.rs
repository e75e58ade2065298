//! The kernels for VNNI, as they are in the library, against the portable one, on a machine
//! without a system. `run.sh` builds and starts it; what it finds goes to the first serial port.

#![no_std]
#![no_main]

// The kernels name `std::arch`.
extern crate core as std;

use core::{arch::asm, slice};

#[path = "../../src/ops/kernels/integer/portable.rs"]
mod portable;
#[path = "../../src/ops/kernels/integer/vnni.rs"]
mod vnni;

// What the kernels take from the module that they are in.
const COLUMNS: usize = 16;
const DEPTH: usize = 4;
const STRIDE: usize = COLUMNS * DEPTH;
type Tile = [[i32; 2 * COLUMNS]; 8];

/// The greatest depth that is tried: that of the longest rows.
const DEEPEST: usize = (1 << 16) / DEPTH;

static mut ROWS: [u8; 8 * DEPTH * DEEPEST] = [0; 8 * DEPTH * DEEPEST];
static mut WIDE: [i16; 8 * DEPTH * DEEPEST] = [0; 8 * DEPTH * DEEPEST];
static mut CODES: [u8; 2 * STRIDE * DEEPEST] = [0; 2 * STRIDE * DEEPEST];

#[unsafe(no_mangle)]
#[unsafe(link_section = ".start")]
pub extern "C" fn start() -> ! {
    open();
    let (seven, more) = (leaf(7, 0), leaf(7, 1));
    let has_512 = seven[1] >> 16 & 1 == 1 && seven[1] >> 30 & 1 == 1 && seven[2] >> 11 & 1 == 1;
    let has_256 = more[0] >> 4 & 1 == 1;
    for (bits, name, is_there) in [(512, "AVX-512 VNNI", has_512), (256, "AVX-VNNI", has_256)] {
        say(name);
        if is_there && (bits == 256 || vectors() & 0xe0 == 0xe0) {
            let mut check = Check { bits, state: 0x9e37_79b9_7f4a_7c15, products: 0, sums: 0 };
            let fine = check.all();
            say(": ");
            number(check.products);
            say(" products, ");
            number(check.sums);
            say(if fine { " sums, all equal\n" } else { " sums, WRONG\n" });
        } else {
            say(": not there\n");
        }
    }
    say("done\n");
    stop()
}

/// One kernel, and how much of it was seen.
struct Check {
    bits: u32,
    state: u64,
    products: i64,
    sums: i64,
}

impl Check {
    fn all(&mut self) -> bool {
        let random = (0..4).all(|_| self.each(&[1, 2, 3, 7, 16, 33, 96, 192], None));
        // The largest sums there can be, of both signs.
        let extremes = [(255, 128), (255, 127), (0, 128), (128, 255)];
        random
            && self.each(&[768], None)
            && extremes.into_iter().all(|fill| self.each(&[5, 96], Some(fill)))
            && [(255, 128), (255, 127)].into_iter().all(|fill| self.each(&[DEEPEST], Some(fill)))
    }

    /// Products of every size of tile, of rows this deep: of random bytes, or of these two.
    fn each(&mut self, depths: &[usize], fill: Option<(u8, u8)>) -> bool {
        let most = if self.bits == 512 { 8 } else { 6 };
        depths
            .iter()
            .all(|depth| (1..=most).all(|count| (1..=2).all(|panels| self.one(*depth, count, panels, fill))))
    }

    fn one(&mut self, depth: usize, count: usize, panels: usize, fill: Option<(u8, u8)>) -> bool {
        let (length, room) = (count * DEPTH * depth, panels * STRIDE * depth);
        // SAFETY: nothing else uses them, and they are as long as the largest product needs.
        let (rows, wide, codes) = unsafe {
            (
                slice::from_raw_parts_mut((&raw mut ROWS).cast::<u8>(), length),
                slice::from_raw_parts_mut((&raw mut WIDE).cast::<i16>(), length),
                slice::from_raw_parts_mut((&raw mut CODES).cast::<u8>(), room),
            )
        };
        rows.iter_mut().for_each(|byte| *byte = fill.map_or_else(|| self.random(), |(row, _)| row));
        codes.iter_mut().for_each(|byte| *byte = fill.map_or_else(|| self.random(), |(_, code)| code));
        wide.iter_mut().zip(&*rows).for_each(|(wide, byte)| *wide = i16::from(*byte));
        let (mut made, mut expected) = ([[7; 32]; 8], [[9; 32]; 8]);
        // SAFETY: the processor has the instructions, and the sizes are those of the contract.
        unsafe {
            match self.bits {
                512 => vnni::multiply_512(rows, count, codes, depth, &mut made),
                _ => vnni::multiply_256(rows, count, codes, depth, &mut made),
            }
        }
        portable::multiply(wide, count, codes, depth, &mut expected);
        self.products += 1;
        let sums = panels * COLUMNS;
        self.sums += (count * sums) as i64;
        let same =
            |made: &Tile, expected: &Tile| (0..count).all(|row| made[row][..sums] == expected[row][..sums]);
        // So that a check that sees nothing is seen.
        if cfg!(broken) && self.products == 6 {
            expected[0][3] += 1;
        }
        same(&made, &expected)
    }

    /// Xorshift.
    fn random(&mut self) -> u8 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 24) as u8
    }
}

fn leaf(leaf: u32, part: u32) -> [u32; 4] {
    let found = core::arch::x86_64::__cpuid_count(leaf, part);
    [found.eax, found.ebx, found.ecx, found.edx]
}

/// Which vector registers are switched on.
fn vectors() -> u32 {
    let low: u32;
    // SAFETY: the boot sector has switched XSAVE on.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _) };
    low
}

/// Makes the first serial port take bytes of 8 bits, as fast as it can.
fn open() {
    for (port, byte) in [(0x3fb, 0x83), (0x3f8, 1), (0x3f9, 0), (0x3fb, 3)] {
        send(port, byte);
    }
}

fn say(text: &str) {
    for byte in text.bytes() {
        wait(0x20);
        send(0x3f8, byte);
    }
}

fn send(port: u16, byte: u8) {
    // SAFETY: what listens on the ports that are used here takes bytes and leaves memory alone.
    unsafe { asm!("out dx, al", in("dx") port, in("al") byte) };
}

/// Waits until the serial port says this of itself.
fn wait(state: u8) {
    let mut found = 0_u8;
    while found & state == 0 {
        // SAFETY: reading its state changes nothing.
        unsafe { asm!("in al, dx", in("dx") 0x3fd_u16, out("al") found) };
    }
}

fn number(number: i64) {
    let mut power = 1;
    while number / power >= 10 {
        power *= 10;
    }
    while power > 0 {
        let digit = [b'0' + (number / power % 10) as u8];
        say(str::from_utf8(&digit).unwrap_or("?"));
        power /= 10;
    }
}

/// Bochs stops where this is written to that port.
fn stop() -> ! {
    wait(0x40);
    for byte in "Shutdown".bytes() {
        send(0x8900, byte);
    }
    loop {
        // SAFETY: it waits for an interrupt, and there is none.
        unsafe { asm!("hlt") };
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    say("panic\n");
    stop()
}

// What the compiler calls and no library gives.

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: that of C's function.
    unsafe { asm!("rep movsb", inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, count: usize) -> *mut u8 {
    // SAFETY: that of C's function.
    unsafe { asm!("rep stosb", inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8) };
    to
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    for at in 0..count {
        // SAFETY: that of C's function.
        let (left, right) = unsafe { (*left.add(at), *right.add(at)) };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}
