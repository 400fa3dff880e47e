//! Who waits for a place among the first requests, and for how long. The clock stands still but for what is waited for.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::*;

fn beginning(is_whole: bool) -> Beginning {
    Beginning {
        is_http1: true,
        is_whole,
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_in_pieces_takes_no_place_and_waits_for_none() {
    let places = Arc::new(Semaphore::new(1));
    let first = First::wait(&places, &beginning(false)).await;
    assert_eq!(places.available_permits(), 1);
    let taken = First::wait(&places, &beginning(true)).await;
    assert_eq!(places.available_permits(), 0);
    let began = Instant::now();
    let none_left = First::wait(&places, &beginning(false)).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    drop((first, taken, none_left));
    assert_eq!(places.available_permits(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_place_in_time_goes_without() {
    let places = Arc::new(Semaphore::new(1));
    let _taken = First::wait(&places, &beginning(true)).await;
    let began = Instant::now();
    let without = First::wait(&places, &beginning(true)).await;
    assert_eq!(began.elapsed(), FIRST_REQUEST_WAIT);
    without.is_over();
    assert_eq!(places.available_permits(), 0, "it had none to give back");
}

#[tokio::test(start_paused = true)]
async fn a_place_is_given_back_with_the_answer_or_when_its_time_is_over() {
    let places = Arc::new(Semaphore::new(2));
    let (answered, slow) = (
        First::wait(&places, &beginning(true)).await,
        First::wait(&places, &beginning(true)).await,
    );
    answered.is_over();
    assert_eq!(places.available_permits(), 1);
    slow.begins();
    let began = Instant::now();
    tokio::select! {
        () = slow.silence(Duration::from_secs(10)) => panic!("its request has begun"),
        _ = places.acquire_many(2) => assert_eq!(began.elapsed(), FIRST_REQUEST_WITHIN),
    }
}
