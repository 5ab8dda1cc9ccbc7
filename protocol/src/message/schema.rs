//! How a schema becomes code: `message!` for a struct with its fields' versions, `exchange!` for an API's
//! pair.

/// Defines a struct and how its fields lie on the wire.
///
/// `name: Type [versions]` is a field of those versions. After the brackets may follow:
/// - `nullable(versions)` for an `Option` that some of its versions do not allow to be null,
/// - `default(value)` where the default is not the type's,
/// - `tag(number)` for a field that is carried as a tagged field, and only if it is not the default.
macro_rules! message {
    (
        $(#[$doc:meta])*
        pub struct $name:ident $(<$life:lifetime>)? {
            $(
                $(#[$field_doc:meta])*
                $field:ident: $type:ty [$versions:expr]
                    $(nullable($nullable:expr))? $(default($default:expr))? $(tag($tag:literal))?,
            )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name $(<$life>)? {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $(<$life>)? Default for $name $(<$life>)? {
            fn default() -> Self {
                Self { $($field: $crate::message::schema::default_of!($($default)?),)* }
            }
        }

        impl<'a> $crate::message::value::Value<'a> for $name $(<$life>)? {
            fn size_min(version: $crate::message::value::Version) -> usize {
                let mut size = usize::from(version.flexible);
                $(
                    if $crate::message::schema::is_plain!($($tag)?) && ($versions).contains(&version.number) {
                        size += <$type as $crate::message::value::Value>::size_min(version);
                    }
                )*
                size
            }

            fn read(
                r: &mut $crate::primitive::Reader<'a>,
                version: $crate::message::value::Version,
            ) -> Result<Self, $crate::error::DecodeError> {
                let mut message = Self::default();
                $(
                    if $crate::message::schema::is_plain!($($tag)?) && ($versions).contains(&version.number) {
                        message.$field = $crate::message::value::Value::read(r, version)?;
                        $(
                            if message.$field.is_none() && !($nullable).contains(&version.number) {
                                return Err($crate::error::DecodeError::InvalidLength);
                            }
                        )?
                    }
                )*
                if version.flexible {
                    for _ in 0..r.uvarint()? {
                        let field = r.tagged_field()?;
                        match field.tag {
                            $($(
                                $tag if ($versions).contains(&version.number) => {
                                    message.$field =
                                        $crate::message::value::read_all(field.content, version)?;
                                }
                            )?)*
                            // A later version's field, or somebody's own.
                            _ => {}
                        }
                    }
                }
                Ok(message)
            }

            fn write(
                &self,
                w: &mut $crate::primitive::Writer,
                version: $crate::message::value::Version,
            ) -> Result<(), $crate::error::EncodeError> {
                $(
                    if $crate::message::schema::is_plain!($($tag)?) && ($versions).contains(&version.number) {
                        $(
                            if self.$field.is_none() && !($nullable).contains(&version.number) {
                                return Err($crate::error::EncodeError::Null(stringify!($field)));
                            }
                        )?
                        $crate::message::value::Value::write(&self.$field, w, version)?;
                    }
                )*
                if version.flexible {
                    $crate::message::value::TaggedFields::default()
                        $($(
                            .put_if(
                                ($versions).contains(&version.number)
                                    && self.$field != Self::default().$field,
                                $tag,
                                |w| $crate::message::value::Value::write(&self.$field, w, version),
                            )?
                        )?)*
                        .write(w);
                }
                Ok(())
            }
        }

        #[cfg(feature = "generate")]
        impl<'a> $crate::message::generate::Generate<'a> for $name $(<$life>)? {
            fn generate(source: &mut impl $crate::message::generate::Source<'a>, version: i16) -> Self {
                let mut message = Self::default();
                $(
                    if ($versions).contains(&version) {
                        message.$field = $crate::message::generate::Generate::generate(source, version);
                        $(
                            while message.$field.is_none() && !($nullable).contains(&version) {
                                message.$field = $crate::message::generate::Generate::generate(source, version);
                            }
                        )?
                    }
                )*
                message
            }
        }
    };
}

/// Lets a struct be null; `tagged` where it lies in a tagged field.
macro_rules! optional {
    ($name:ident $(<$life:lifetime>)?) => {
        $crate::message::schema::optional!(Byte: $name $(<$life>)?);
    };
    (tagged $name:ident $(<$life:lifetime>)?) => {
        $crate::message::schema::optional!(Varint: $name $(<$life>)?);
    };
    ($presence:ident: $name:ident $(<$life:lifetime>)?) => {
        impl<'a> $crate::message::value::Value<'a> for Option<$name $(<$life>)?> {
            fn size_min(_: $crate::message::value::Version) -> usize {
                1
            }

            fn read(
                r: &mut $crate::primitive::Reader<'a>,
                version: $crate::message::value::Version,
            ) -> Result<Self, $crate::error::DecodeError> {
                let there = $crate::message::value::Presence::$presence.read(r)?;
                there.then(|| $crate::message::value::Value::read(r, version)).transpose()
            }

            fn write(
                &self,
                w: &mut $crate::primitive::Writer,
                version: $crate::message::value::Version,
            ) -> Result<(), $crate::error::EncodeError> {
                $crate::message::value::Presence::$presence.write(w, self.is_some());
                self.iter().try_for_each(|it| $crate::message::value::Value::write(it, w, version))
            }
        }
    };
}

macro_rules! default_of {
    () => {
        Default::default()
    };
    ($default:expr) => {
        $default
    };
}

/// Whether a field lies among the others and not in the tagged section.
macro_rules! is_plain {
    () => {
        true
    };
    ($tag:literal) => {
        false
    };
}

/// Names the request and the response of an API: the messages that are read and written on their own.
macro_rules! exchange {
    ($api:ident: $request:ty, $response:ty) => {
        $crate::message::schema::top_level!('a $api: $request);
        $crate::message::schema::top_level!('r $api: $response);

        impl<'a> $crate::message::Request for $request {
            const API: $crate::api::ApiKey = $crate::api::ApiKey::$api;
            type Response<'r> = $response;
        }
    };
}

macro_rules! top_level {
    ($life:lifetime $api:ident: $message:ty) => {
        impl<$life> $crate::message::Decode<$life> for $message {
            fn decode(
                r: &mut $crate::primitive::Reader<$life>,
                version: i16,
            ) -> Result<Self, $crate::error::DecodeError> {
                let version = $crate::message::value::Version::of($crate::api::ApiKey::$api, version)
                    .ok_or($crate::error::DecodeError::UnsupportedVersion(version))?;
                $crate::message::value::Value::read(r, version)
            }
        }

        impl<$life> $crate::message::Encode for $message {
            fn encode(
                &self,
                w: &mut $crate::primitive::Writer,
                version: i16,
            ) -> Result<(), $crate::error::EncodeError> {
                let version = $crate::message::value::Version::of($crate::api::ApiKey::$api, version)
                    .ok_or($crate::error::EncodeError::UnsupportedVersion(version))?;
                $crate::message::value::Value::write(self, w, version)
            }
        }
    };
}

pub(crate) use {default_of, exchange, is_plain, message, optional, top_level};
